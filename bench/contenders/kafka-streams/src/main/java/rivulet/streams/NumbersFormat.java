package rivulet.streams;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

/** Reads and writes the numbers of a state, eight bytes each. */
final class NumbersFormat implements Serializer<double[]>, Deserializer<double[]> {
    @Override
    public byte[] serialize(String topic, double[] numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(Double.BYTES * numbers.length);
        bytes.asDoubleBuffer().put(numbers);
        return bytes.array();
    }

    @Override
    public double[] deserialize(String topic, byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        double[] numbers = new double[bytes.length / Double.BYTES];
        ByteBuffer.wrap(bytes).asDoubleBuffer().get(numbers);
        return numbers;
    }

    @Override
    public void close() {
        // Nothing to close.
    }

    @Override
    public void configure(java.util.Map<String, ?> settings, boolean isKey) {
        // Nothing to configure.
    }
}

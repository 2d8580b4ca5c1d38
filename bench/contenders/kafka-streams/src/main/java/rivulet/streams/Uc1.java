package rivulet.streams;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;

/**
 * The job of Theodolite's use case 1, "Database Storage", on Kafka Streams: it reads measurements of
 * electric power, converts each to the record of a database, and writes that to standard output.
 */
public final class Uc1 {
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
            .build();

    private Uc1() {}

    /** Runs until an error. */
    public static void main(String[] args) {
        Runner.run(() -> {
            Options options = Options.parse(args);
            return Runner.streams(topology(options), Runner.settings(options), options);
        });
    }

    private static Topology topology(Options options) {
        StreamsBuilder builder = new StreamsBuilder();
        ReadingFormat format = new ReadingFormat();
        // One call of the system for each line, as a logger on standard output does it.
        PrintStream database = System.out;
        builder.stream(options.get("from"), Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
                .processValues(() -> new Convert<>())
                .foreach((meter, reading) -> {
                    byte[] line = format.serialize(null, reading);
                    byte[] ended = Arrays.copyOf(line, line.length + 1);
                    ended[line.length] = '\n';
                    database.write(ended, 0, ended.length);
                    if (database.checkError()) {
                        throw new UncheckedIOException(new IOException("no standard output"));
                    }
                });
        return builder.build();
    }

    /** Makes a reading of a measurement, numbered by its offset. */
    private static final class Convert<K> extends ContextualFixedKeyProcessor<K, byte[], Reading> {
        @Override
        public void process(FixedKeyRecord<K, byte[]> record) {
            long offset = context().recordMetadata().orElseThrow().offset();
            try (JsonParser json = JSON.createParser(record.value())) {
                context().forward(record.withValue(read(json, offset)));
            } catch (IOException error) {
                throw new UncheckedIOException("not a measurement", error);
            }
        }

        private static Reading read(JsonParser json, long offset) throws IOException {
            String meter = null;
            long time = 0;
            double watts = Double.NaN;
            json.nextToken();
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                json.nextToken();
                switch (name) {
                    case "identifier" -> meter = json.getText();
                    case "timestamp" -> time = json.getLongValue();
                    case "valueInW" -> watts = json.getDoubleValue();
                    default -> json.skipChildren();
                }
            }
            if (meter == null || Double.isNaN(watts)) {
                throw new IOException("a part of the measurement is missing");
            }
            return new Reading(meter, offset, time, watts, "watts");
        }
    }
}

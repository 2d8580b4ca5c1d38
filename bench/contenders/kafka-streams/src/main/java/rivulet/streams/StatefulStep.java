package rivulet.streams;

import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** A step that remembers numbers of each sensor. */
final class StatefulStep implements FixedKeyProcessor<Bytes, Reading, Reading> {
    private static final String STORE = "numbers";

    /** What is remembered from now on, and what is passed on; null for nothing. */
    record Result(double[] numbers, Double value) {}

    /** The arithmetic. Before the first reading of a sensor, nothing is remembered: null. */
    interface Arithmetic {
        Result apply(double[] before, double value);
    }

    private final Arithmetic arithmetic;
    private FixedKeyProcessorContext<Bytes, Reading> context;
    private KeyValueStore<Bytes, double[]> store;

    private StatefulStep(Arithmetic arithmetic) {
        this.arithmetic = arithmetic;
    }

    @Override
    public void init(FixedKeyProcessorContext<Bytes, Reading> context) {
        this.context = context;
        store = context.getStateStore(STORE);
    }

    @Override
    public void process(FixedKeyRecord<Bytes, Reading> record) {
        Result result = arithmetic.apply(store.get(record.key()), record.value().value());
        store.put(record.key(), result.numbers());
        if (result.value() != null) {
            context.forward(record.withValue(record.value().withValue(result.value())));
        }
    }

    /** Makes the step and its store. */
    record Supplier(Arithmetic arithmetic)
            implements FixedKeyProcessorSupplier<Bytes, Reading, Reading> {
        @Override
        public FixedKeyProcessor<Bytes, Reading, Reading> get() {
            return new StatefulStep(arithmetic);
        }

        /**
         * In memory, with a changelog: the numbers of some sensors are small, and RocksDB would take
         * tens of megabytes and more time. With the cache on, which is Kafka Streams' advice against
         * many updates, a commit writes each sensor's numbers to the changelog once.
         */
        @Override
        public Set<StoreBuilder<?>> stores() {
            var numbers = Serdes.serdeFrom(new NumbersFormat(), new NumbersFormat());
            var memory = Stores.inMemoryKeyValueStore(STORE);
            return Set.of(Stores.keyValueStoreBuilder(memory, Serdes.Bytes(), numbers)
                    .withCachingEnabled()
                    .withLoggingEnabled(Map.of()));
        }
    }
}

package rivulet.streams;

import java.util.Map;
import java.util.Properties;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.internals.DefaultKafkaClientSupplier;

/** Runs a topology until an error, which it says. */
final class Runner {
    private Runner() {}

    /** The settings. What is not here is as Kafka Streams chooses it. */
    static Properties settings(Options options) {
        Properties settings = new Properties();
        String name = options.get("name");
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("brokers"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, options.exactlyOnce()
                ? StreamsConfig.EXACTLY_ONCE_V2
                : StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.get("commit-ms"));
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        // One thread, as the others have. Kafka Streams adds the thread's number to this.
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), name);
        return settings;
    }

    static KafkaStreams streams(Topology topology, Properties settings, Options options) {
        return new KafkaStreams(topology, settings, new FixedTransactionalId(options.get("name")));
    }

    /** Starts what `make` makes, and ends the process if it fails. */
    static void run(Supplier<KafkaStreams> make) {
        try {
            KafkaStreams streams = make.get();
            streams.setUncaughtExceptionHandler(error -> {
                throw fail(error);
            });
            streams.start();
        } catch (RuntimeException error) {
            throw fail(error);
        }
    }

    private static Error fail(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            System.err.println("kafka-streams: " + cause);
        }
        Runtime.getRuntime().halt(1);
        return new AssertionError("halted");
    }

    /**
     * The id by which a producer fences its predecessor. Kafka Streams keeps it in the state
     * directory, but only for topologies with a persistent store. Without one, each start has a new
     * id, and the next process waits until the transaction of a killed one times out: 10 s.
     */
    private static final class FixedTransactionalId extends DefaultKafkaClientSupplier {
        private final String id;

        FixedTransactionalId(String id) {
            this.id = id;
        }

        @Override
        public Producer<byte[], byte[]> getProducer(Map<String, Object> settings) {
            settings.computeIfPresent(ProducerConfig.TRANSACTIONAL_ID_CONFIG, (name, old) -> id);
            return super.getProducer(settings);
        }
    }
}

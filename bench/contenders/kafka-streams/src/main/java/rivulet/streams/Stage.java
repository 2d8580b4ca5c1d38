package rivulet.streams;

import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * A stage on Kafka Streams, written with its DSL as its developer guide says, and with the Processor
 * API where a step has state ("Applying processors").
 */
public final class Stage {
    private Stage() {}

    /** Runs until an error. */
    public static void main(String[] args) {
        Runner.run(() -> {
            Options options = Options.parse(args);
            Properties settings = Runner.settings(options);
            return Runner.streams(topology(options, settings), settings, options);
        });
    }

    private static Topology topology(Options options, Properties settings) {
        StreamsBuilder builder = new StreamsBuilder();
        if (options.get("step").equals("copy")) {
            builder.stream(options.get("from"), Consumed.with(Serdes.Bytes(), Serdes.Bytes()))
                    .to(options.get("to"), Produced.with(Serdes.Bytes(), Serdes.Bytes()));
            return builder.build(settings);
        }
        var serde = Serdes.serdeFrom(new ReadingFormat(), new ReadingFormat());
        var input = builder.stream(options.get("from"), Consumed.with(Serdes.Bytes(), serde));
        var output = switch (options.get("step")) {
            case "convert" -> input.mapValues(Reading::toFahrenheit);
            case "threshold" -> input.filter((sensor, reading) -> reading.value() > -1000);
            case "ewma" -> input.processValues(new StatefulStep.Supplier(Stage::ewma));
            case "average" -> input.processValues(new StatefulStep.Supplier(Stage::average));
            default -> throw new IllegalArgumentException("there is no such step");
        };
        output.to(options.get("to"), Produced.<Bytes, Reading>with(Serdes.Bytes(), serde));
        return builder.build(settings);
    }

    private static StatefulStep.Result ewma(double[] before, double value) {
        if (before == null) {
            return new StatefulStep.Result(new double[] {value}, null);
        }
        double average = 0.5 * value + 0.5 * before[0];
        return new StatefulStep.Result(new double[] {average}, average);
    }

    private static StatefulStep.Result average(double[] before, double value) {
        int window = 5;
        int count = before == null ? 0 : before.length;
        int kept = Math.min(count, window - 1);
        double[] recent = new double[kept + 1];
        double sum = 0;
        for (int at = 0; at < kept; at++) {
            recent[at] = before[count - kept + at];
            sum += recent[at];
        }
        recent[kept] = value;
        Double mean = recent.length < window ? null : (sum + value) / window;
        return new StatefulStep.Result(recent, mean);
    }
}

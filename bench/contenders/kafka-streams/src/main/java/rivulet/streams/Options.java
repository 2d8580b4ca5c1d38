package rivulet.streams;

import java.util.HashMap;
import java.util.Map;

/** What the command line says: `--NAME VALUE` for each option. */
record Options(Map<String, String> values) {
    static Options parse(String[] args) {
        Map<String, String> values = new HashMap<>();
        for (int at = 0; at < args.length; at += 2) {
            if (!args[at].startsWith("--") || at + 1 == args.length) {
                throw new IllegalArgumentException("an option is --NAME VALUE, not " + args[at]);
            }
            values.put(args[at].substring(2), args[at + 1]);
        }
        return new Options(values);
    }

    /** The value of an option that must be there. */
    String get(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    boolean exactlyOnce() {
        return switch (get("guarantee")) {
            case "exactly-once" -> true;
            case "at-least-once" -> false;
            default -> throw new IllegalArgumentException("there is no such guarantee");
        };
    }
}

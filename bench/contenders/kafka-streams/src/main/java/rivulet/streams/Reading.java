package rivulet.streams;

/** A reading in rivulet's JSON. */
record Reading(String sensor, long seq, long time, double value, String unit) {
    Reading withValue(double changed) {
        return new Reading(sensor, seq, time, changed, unit);
    }

    Reading toFahrenheit() {
        return new Reading(sensor, seq, time, value * 9.0 / 5.0 + 32.0, "fahrenheit");
    }
}

package rivulet.streams;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

/** Reads and writes readings with Jackson's streaming API, its fastest. */
final class ReadingFormat implements Serializer<Reading>, Deserializer<Reading> {
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
            .enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER)
            .build();

    private final ByteArrayOutputStream text = new ByteArrayOutputStream(256);

    @Override
    public Reading deserialize(String topic, byte[] value) {
        try (JsonParser json = JSON.createParser(value)) {
            return read(json);
        } catch (IOException error) {
            throw new SerializationException("not a reading", error);
        }
    }

    private static Reading read(JsonParser json) throws IOException {
        if (json.nextToken() != JsonToken.START_OBJECT) {
            throw new SerializationException("not an object");
        }
        String sensor = null;
        String unit = null;
        long seq = 0;
        long time = 0;
        double value = Double.NaN;
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            JsonToken token = json.nextToken();
            switch (name) {
                case "sensor" -> sensor = json.getText();
                case "seq" -> seq = json.getLongValue();
                case "time" -> time = json.getLongValue();
                case "value" -> value = json.getDoubleValue();
                case "unit" -> unit = token == JsonToken.VALUE_NULL ? null : json.getText();
                default -> json.skipChildren();
            }
        }
        if (sensor == null || Double.isNaN(value)) {
            throw new SerializationException("a part of the reading is missing");
        }
        return new Reading(sensor, seq, time, value, unit);
    }

    @Override
    public byte[] serialize(String topic, Reading reading) {
        text.reset();
        try (JsonGenerator json = JSON.createGenerator(text)) {
            json.writeStartObject();
            json.writeStringField("sensor", reading.sensor());
            json.writeNumberField("seq", reading.seq());
            json.writeNumberField("time", reading.time());
            json.writeNumberField("value", reading.value());
            if (reading.unit() != null) {
                json.writeStringField("unit", reading.unit());
            }
            json.writeEndObject();
        } catch (IOException error) {
            throw new SerializationException("the reading cannot be written", error);
        }
        return text.toByteArray();
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

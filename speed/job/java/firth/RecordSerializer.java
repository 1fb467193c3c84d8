package firth;

import java.util.Base64;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.types.Row;

/** A Row(key, value) of {@link Frame.RecordsOf} as a record of one topic. */
public final class RecordSerializer implements KafkaRecordSerializationSchema<Row> {
  private static final long serialVersionUID = 1L;
  private final String topic;

  public RecordSerializer(String topic) {
    this.topic = topic;
  }

  @Override
  public ProducerRecord<byte[], byte[]> serialize(Row record, KafkaSinkContext context, Long timestamp) {
    byte[] key = Base64.getDecoder().decode(record.<String>getFieldAs(0));
    return new ProducerRecord<>(topic, key, record.<byte[]>getFieldAs(1));
  }
}

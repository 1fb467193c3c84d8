package firth;

import java.util.List;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;

/**
 * A Row(key, value) of {@link Frame.RecordsOf} as a record of one topic. A row of the kind DELETE becomes a tombstone
 * with the value as its header.
 */
public final class RecordSerializer implements KafkaRecordSerializationSchema<Row> {
  private static final long serialVersionUID = 1L;
  private final String topic;
  private final String tombstoneHeader;

  public RecordSerializer(String topic, String tombstoneHeader) {
    this.topic = topic;
    this.tombstoneHeader = tombstoneHeader;
  }

  @Override
  public ProducerRecord<byte[], byte[]> serialize(Row record, KafkaSinkContext context, Long timestamp) {
    byte[] key = RecordDeserializer.keyOf(record.getFieldAs(0));
    byte[] value = record.<byte[]>getFieldAs(1);
    if (record.getKind() != RowKind.DELETE) {
      return new ProducerRecord<>(topic, key, value);
    }
    return new ProducerRecord<>(topic, null, key, null, List.of(new RecordHeader(tombstoneHeader, value)));
  }
}

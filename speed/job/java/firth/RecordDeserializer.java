package firth;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * A Kafka record, whatever it holds, as Row(key, bytes), so that it can be keyed without a Python operator.
 *
 * <p>The bytes are, little endian: received i64, partition i32, offset i64, key length i32, value length i32, key,
 * value; a length of -1 says that there is none. {@code speed/job/records.py} reads them.
 */
public final class RecordDeserializer implements KafkaRecordDeserializationSchema<Row> {
  private static final long serialVersionUID = 1L;
  private static final int HEAD_BYTES = 28;
  private static final byte[] NOTHING = {};

  @Override
  public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Row> out) throws IOException {
    byte[] key = record.key() == null ? NOTHING : record.key();
    byte[] value = record.value() == null ? NOTHING : record.value();
    ByteBuffer bytes = ByteBuffer.allocate(HEAD_BYTES + key.length + value.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(record.timestamp()).putInt(record.partition()).putLong(record.offset());
    bytes.putInt(record.key() == null ? -1 : key.length).putInt(record.value() == null ? -1 : value.length);
    out.collect(Row.of(stateKey(key, 0, key.length), bytes.put(key).put(value).array()));
  }

  /** The key of the keyed stream: a text of any bytes at all, one character each. */
  static String stateKey(byte[] key, int start, int end) {
    return new String(key, start, end - start, StandardCharsets.ISO_8859_1);
  }

  /** The inverse of {@code stateKey}. */
  static byte[] keyOf(String stateKey) {
    return stateKey.getBytes(StandardCharsets.ISO_8859_1);
  }

  @Override
  public TypeInformation<Row> getProducedType() {
    return rowType();
  }

  static TypeInformation<Row> rowType() {
    return new RowTypeInfo(Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
  }
}

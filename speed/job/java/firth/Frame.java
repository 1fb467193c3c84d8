package firth;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.Collector;

/**
 * What a Python operator emits at once: records, each of a tag u8, key length u32, value length u32 (little endian),
 * key and value. {@code speed/job/records.py} writes them.
 */
public final class Frame {
  private static final int HEAD_BYTES = 9;
  private static final int TOMBSTONE = 0x80;

  private Frame() {}

  /** Where the parts of one record lie in its frame: the key ends where the value starts. */
  interface RecordTaker {
    void take(int tag, int keyStart, int valueStart, int end);
  }

  static void forEach(byte[] frame, RecordTaker taker) {
    ByteBuffer head = ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN);
    int at = 0;
    while (at < frame.length) {
      int key = at + HEAD_BYTES;
      int value = key + head.getInt(at + 1);
      int end = value + head.getInt(at + 5);
      taker.take(frame[at] & 0xFF, key, value, end);
      at = end;
    }
  }

  /**
   * The records with one tag as Row(key, value), keyed like records of Kafka: for a further keyed operator or a sink. A
   * tombstone, whose tag has the highest bit set, is a row of the kind DELETE.
   */
  public static final class RecordsOf implements FlatMapFunction<byte[], Row>, ResultTypeQueryable<Row> {
    private static final long serialVersionUID = 1L;
    private final int tag;

    public RecordsOf(String tag) {
      this.tag = Integer.parseInt(tag);
    }

    @Override
    public void flatMap(byte[] frame, Collector<Row> out) {
      forEach(frame, (recordTag, key, value, end) -> {
        if ((recordTag & ~TOMBSTONE) == tag) {
          RowKind kind = (recordTag & TOMBSTONE) == 0 ? RowKind.INSERT : RowKind.DELETE;
          String stateKey = RecordDeserializer.stateKey(frame, key, value);
          out.collect(Row.ofKind(kind, stateKey, Arrays.copyOfRange(frame, value, end)));
        }
      });
    }

    @Override
    public TypeInformation<Row> getProducedType() {
      return RecordDeserializer.rowType();
    }
  }
}

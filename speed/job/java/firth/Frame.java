package firth;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.function.BiConsumer;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * What a Python operator emits at once: records, each of a tag u8, key length u32, value length u32 (little endian),
 * key and value. {@code speed/job/records.py} writes them.
 */
public final class Frame {
  private static final int HEAD_BYTES = 9;

  private Frame() {}

  static void forEach(byte[] frame, int tag, BiConsumer<byte[], byte[]> take) {
    ByteBuffer head = ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN);
    int at = 0;
    while (at < frame.length) {
      int key = at + HEAD_BYTES;
      int value = key + head.getInt(at + 1);
      int end = value + head.getInt(at + 5);
      if (frame[at] == tag) {
        take.accept(Arrays.copyOfRange(frame, key, value), Arrays.copyOfRange(frame, value, end));
      }
      at = end;
    }
  }

  /** The records with one tag as Row(key, value), keyed like records of Kafka: for a further keyed operator or a sink. */
  public static final class RecordsOf implements FlatMapFunction<byte[], Row>, ResultTypeQueryable<Row> {
    private static final long serialVersionUID = 1L;
    private final int tag;

    public RecordsOf(String tag) {
      this.tag = Integer.parseInt(tag);
    }

    @Override
    public void flatMap(byte[] frame, Collector<Row> out) {
      forEach(frame, tag, (key, value) -> out.collect(Row.of(RecordDeserializer.stateKey(key), value)));
    }

    @Override
    public TypeInformation<Row> getProducedType() {
      return RecordDeserializer.rowType();
    }
  }
}

package firth;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.types.Row;

/**
 * Collects the hops of each item out of frames, and lets them leave together as Row(key, bundle): one call into Python,
 * one reading and writing of the item's state, and one row for many hops.
 *
 * <p>A bundle leaves {@code periodMs} after its first hop (0: each hop at once), earlier when it is large or when all of
 * them are. While the job is behind, which the timestamps of frames tell, it is {@code behindPeriodMs}: nobody waits for
 * an item's row that will be overtaken at once. A bundle is MessagePack, {@code [key, [hop, …]]}; hops of an item keep
 * their order. Nothing is kept in Flink's state, because all bundles leave in front of every barrier: a checkpoint has
 * them in the state of their items.
 */
public final class HopBundler extends AbstractStreamOperator<Row> implements OneInputStreamOperator<byte[], Row> {
  private static final long serialVersionUID = 1L;
  private static final int BUNDLE_HOPS_MAX = 512; // so that one call into Python takes about a millisecond
  private static final int BUNDLE_BYTES_MAX = 64 << 10;
  private static final int HOPS_MAX = 50_000;
  private static final int BYTES_MAX = 4 << 20;
  private static final int TICKS = 10; // so many times in a period it is looked what is due

  private final int tag;
  private final long periodMs;
  private final long behindPeriodMs;
  private final long freshMs;
  private transient Map<String, Bundle> bundles; // the oldest first
  private transient int hops;
  private transient int bytes;
  private transient boolean isTimerSet;
  private transient boolean isBehind;

  /** The job is behind while a frame is older than {@code freshMs}. */
  public HopBundler(String tag, String periodMs, String behindPeriodMs, String freshMs) {
    this.tag = Integer.parseInt(tag);
    this.periodMs = Long.parseLong(periodMs);
    this.behindPeriodMs = Long.parseLong(behindPeriodMs);
    this.freshMs = Long.parseLong(freshMs);
  }

  @Override
  public void open() throws Exception {
    super.open();
    bundles = new LinkedHashMap<>();
    hops = 0;
    bytes = 0;
    isTimerSet = false;
  }

  @Override
  public void processElement(StreamRecord<byte[]> element) {
    byte[] frame = element.getValue();
    long nowMs = getProcessingTimeService().getCurrentProcessingTime();
    isBehind = element.hasTimestamp() && nowMs - element.getTimestamp() > freshMs;
    Frame.forEach(frame, (recordTag, key, value, end) -> {
      if (recordTag == tag) {
        take(RecordDeserializer.stateKey(frame, key, value), frame, value, end);
      }
    });
  }

  private void take(String key, byte[] frame, int start, int end) {
    Bundle bundle = bundles.get(key);
    if (bundle == null) {
      bundle = new Bundle(dueAtMs());
      bundles.put(key, bundle);
    }
    bundle.hops.raw(frame, start, end);
    bundle.count++;
    hops++;
    bytes += end - start;
    if (periodMs == 0 || bundle.count >= BUNDLE_HOPS_MAX || bundle.hops.size() >= BUNDLE_BYTES_MAX) {
      bundles.remove(key);
      emit(key, bundle);
    } else if (hops >= HOPS_MAX || bytes >= BYTES_MAX) {
      emitUntil(Long.MAX_VALUE);
    } else if (!isTimerSet) {
      setTimer(bundle.dueAtMs);
    }
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
    super.prepareSnapshotPreBarrier(checkpointId);
    emitUntil(Long.MAX_VALUE);
  }

  @Override
  public void finish() throws Exception {
    emitUntil(Long.MAX_VALUE);
    super.finish();
  }

  private void emitUntil(long dueAtMs) {
    Iterator<Map.Entry<String, Bundle>> oldest = bundles.entrySet().iterator();
    while (oldest.hasNext()) {
      Map.Entry<String, Bundle> entry = oldest.next();
      if (entry.getValue().dueAtMs > dueAtMs) {
        return;
      }
      oldest.remove();
      emit(entry.getKey(), entry.getValue());
    }
  }

  private void emit(String key, Bundle bundle) {
    byte[] item = RecordDeserializer.keyOf(key);
    hops -= bundle.count;
    bytes -= bundle.hops.size();
    MessagePack packed = new MessagePack(bundle.hops.size() + item.length + 32);
    packed.array(2).binary(item).array(bundle.count).raw(bundle.hops);
    output.collect(new StreamRecord<>(Row.of(key, packed.toBytes())));
  }

  private void setTimer(long dueAtMs) {
    isTimerSet = true;
    long waitMs = Math.max(dueAtMs - monotonicMs(), 0);
    long atMs = getProcessingTimeService().getCurrentProcessingTime() + waitMs;
    getProcessingTimeService().registerTimer(atMs, firedAtMs -> onTimer());
  }

  private void onTimer() {
    isTimerSet = false;
    emitUntil(monotonicMs());
    if (!bundles.isEmpty()) {
      setTimer(bundles.values().iterator().next().dueAtMs);
    }
  }

  /** In whole ticks, so that few timers are needed; no clock that can be set back. */
  private long dueAtMs() {
    long waitMs = isBehind ? Math.max(periodMs, behindPeriodMs) : periodMs;
    long tickMs = Math.max(waitMs / TICKS, 1);
    return (monotonicMs() + waitMs + tickMs - 1) / tickMs * tickMs;
  }

  private static long monotonicMs() {
    return TimeUnit.NANOSECONDS.toMillis(System.nanoTime());
  }

  private static final class Bundle {
    private final MessagePack hops = new MessagePack(96);
    private final long dueAtMs;
    private int count;

    private Bundle(long dueAtMs) {
      this.dueAtMs = dueAtMs;
    }
  }
}

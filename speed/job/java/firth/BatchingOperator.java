package firth;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.operators.InternalTimer;
import org.apache.flink.streaming.api.operators.InternalTimerService;
import org.apache.flink.streaming.api.operators.python.embedded.EmbeddedPythonIterator;
import org.apache.flink.streaming.api.operators.python.embedded.EmbeddedPythonKeyedProcessOperator;
import org.apache.flink.streaming.api.utils.PythonTypeUtils;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.types.Row;

/**
 * PyFlink's keyed operator, but with one call into Python for many records and timers, their states with them.
 *
 * <p>A call costs some 15 µs, and so does each look at the state from Python; here neither happens per record. A batch
 * holds what has arrived: it leaves when it is full, and as soon as no more input is there, but not within PAUSE_MS of
 * the last one. So a record after a pause waits for nothing, and a steady trickle is not taken one by one, which costs
 * twice as much. A batch leaves too in front of every barrier: a checkpoint never misses a record.
 *
 * <p>The call's only argument is MessagePack, {@code [[state or nil, …], [[place of the state, instant of a timer or -1,
 * record or key], …]]}. The answer is, little endian: the number of changed states u32, of each its place u32, its
 * length i32 (-1: cleared) and its bytes; the number of timers u32, of each the place u32 of its state and its instant
 * i64; the rest is the frame that leaves, with the newest timestamp of any record so far. {@code speed/job/batches.py} has the other side.
 */
public final class BatchingOperator extends EmbeddedPythonKeyedProcessOperator<Row, Row, byte[]> {
  private static final long serialVersionUID = 1L;
  private static final int RECORDS_MAX = 128;
  private static final int BYTES_MAX = 64 << 10; // so that a call with many hops takes some milliseconds at most
  private static final int HEAD_BYTES = 16; // at most, of what MessagePack puts before its arrays and bytes
  private static final long NO_TIMER = -1;
  private static final long PAUSE_MS = 5;

  private final String stateName;
  private transient ValueState<byte[]> state;
  private transient InternalTimerService<VoidNamespace> timers;
  private transient MailboxExecutor mailbox;
  private transient PythonTypeUtils.DataConverter<Row, Object> toPython;
  private transient List<Row> keys;
  private transient Map<String, Integer> places;
  private transient MessagePack entries;
  private transient int count;
  private transient int countAtLastLook;
  private transient boolean isLooking;
  private transient boolean isWaiting;
  private transient long leftAtNs;
  private transient long newestAtMs;

  /** Runs the function of an operator that PyFlink has made for it, on the state of this name. */
  public BatchingOperator(EmbeddedPythonKeyedProcessOperator<Row, Row, byte[]> made, String stateName) {
    super(
        made.getConfiguration(),
        made.getPythonFunctionInfo(),
        RecordDeserializer.rowType(),
        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    this.stateName = stateName;
  }

  @Override
  public void open() throws Exception {
    entries = new MessagePack(BYTES_MAX);
    begin();
    isWaiting = false;
    leftAtNs = System.nanoTime() - PAUSE_MS * 1_000_000;
    newestAtMs = 0;
    super.open();
    state = getPartitionedState(
        new ValueStateDescriptor<>(stateName, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
    timers = getInternalTimerService("user-timers", VoidNamespaceSerializer.INSTANCE, this);
    mailbox = getContainingTask().getMailboxExecutorFactory().createExecutor(getOperatorConfig().getChainIndex());
    toPython = PythonTypeUtils.TypeInfoToDataConverter.typeInfoDataConverter(RecordDeserializer.rowType());
  }

  private void begin() {
    keys = new ArrayList<>();
    places = new HashMap<>();
    entries.clear();
    count = 0;
  }

  @Override
  public void processElement(StreamRecord<Row> element) throws Exception {
    Row record = element.getValue();
    if (element.hasTimestamp()) {
      newestAtMs = Math.max(newestAtMs, element.getTimestamp());
    }
    add(record.getFieldAs(0), NO_TIMER, record.getFieldAs(1));
  }

  @Override
  public void onProcessingTime(InternalTimer<Row, VoidNamespace> timer) throws Exception {
    String key = timer.getKey().getFieldAs(0);
    add(key, timer.getTimestamp(), RecordDeserializer.keyOf(key));
  }

  private void add(String key, long timerAtMs, byte[] payload) throws Exception {
    Integer place = places.putIfAbsent(key, keys.size());
    if (place == null) {
      place = keys.size();
      keys.add(Row.of(key));
    }
    entries.array(3).integer(place).integer(timerAtMs).binary(payload);
    count++;
    if (count >= RECORDS_MAX || entries.size() >= BYTES_MAX) {
      flush();
    } else if (!isLooking && !isWaiting) {
      look();
    }
  }

  /** Has the mailbox, which Flink reads between two records and while there is none, ask whether more has come. */
  private void look() {
    isLooking = true;
    countAtLastLook = count;
    mailbox.execute(this::lookAgain, "Flush of a batch for Python");
  }

  private void lookAgain() throws Exception {
    isLooking = false;
    if (count != countAtLastLook) {
      if (count > 0) {
        look();
      }
      return;
    }
    long waitMs = PAUSE_MS - (System.nanoTime() - leftAtNs) / 1_000_000;
    if (waitMs <= 0) {
      flush();
      return;
    }
    isWaiting = true;
    ProcessingTimeService clock = getProcessingTimeService();
    clock.registerTimer(clock.getCurrentProcessingTime() + waitMs, this::endOfPause);
  }

  private void endOfPause(long timestamp) throws Exception {
    isWaiting = false;
    flush();
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
    flush();
    super.prepareSnapshotPreBarrier(checkpointId);
  }

  @Override
  public void finish() throws Exception {
    flush();
    super.finish();
  }

  private void flush() throws Exception {
    if (count == 0) {
      return;
    }
    List<Row> taken = keys;
    byte[][] blobs = new byte[taken.size()][];
    int size = HEAD_BYTES + entries.size();
    for (int place = 0; place < blobs.length; place++) {
      setCurrentKey(taken.get(place));
      blobs[place] = state.value();
      size += HEAD_BYTES + (blobs[place] == null ? 0 : blobs[place].length);
    }
    MessagePack batch = new MessagePack(size).array(2).array(blobs.length);
    for (byte[] blob : blobs) {
      batch.binary(blob);
    }
    byte[] packed = batch.array(count).raw(entries).toBytes();
    begin();
    apply(call(packed), taken);
    leftAtNs = System.nanoTime();
  }

  private byte[] call(byte[] batch) throws Exception {
    Object element = toPython.toExternal(Row.of("", batch));
    EmbeddedPythonIterator answers =
        EmbeddedPythonIterator.from(interpreter.invokeMethod("operation", "process_element", element));
    byte[] answer = (byte[]) answers.next();
    answers.close();
    return answer;
  }

  private void apply(byte[] answer, List<Row> keysOfBatch) throws Exception {
    ByteBuffer bytes = ByteBuffer.wrap(answer).order(ByteOrder.LITTLE_ENDIAN);
    for (int left = bytes.getInt(); left > 0; left--) {
      setCurrentKey(keysOfBatch.get(bytes.getInt()));
      int length = bytes.getInt();
      if (length < 0) {
        state.clear();
      } else {
        state.update(next(bytes, length));
      }
    }
    for (int left = bytes.getInt(); left > 0; left--) {
      setCurrentKey(keysOfBatch.get(bytes.getInt()));
      timers.registerProcessingTimeTimer(VoidNamespace.INSTANCE, bytes.getLong());
    }
    if (bytes.hasRemaining()) {
      output.collect(new StreamRecord<>(next(bytes, bytes.remaining()), newestAtMs));
    }
  }

  private static byte[] next(ByteBuffer bytes, int length) {
    byte[] found = new byte[length];
    bytes.get(found);
    return found;
  }
}

package firth;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.TopicDescription;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartitionInfo;

/** Where a job without a state begins to read a topic, as Flink's source decides it. */
public final class LogStart {
  private final String bootstrap;
  private final String topic;

  public LogStart(String bootstrap, String topic) {
    this.bootstrap = bootstrap;
    this.topic = topic;
  }

  /**
   * Of each partition the first offset that was received at an instant or later, else the end.
   *
   * @param atMs in epoch milliseconds; below zero: the beginning
   */
  public Map<Integer, Long> offsets(long atMs) throws ExecutionException, InterruptedException {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      TopicDescription described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
      Map<TopicPartition, ListOffsetsResultInfo> ends = list(admin, described, OffsetSpec.latest());
      OffsetSpec start = atMs < 0 ? OffsetSpec.earliest() : OffsetSpec.forTimestamp(atMs);
      Map<Integer, Long> found = new TreeMap<>();
      list(admin, described, start).forEach((partition, at) ->
          found.put(partition.partition(), at.offset() < 0 ? ends.get(partition).offset() : at.offset()));
      return found;
    }
  }

  private Map<TopicPartition, ListOffsetsResultInfo> list(Admin admin, TopicDescription described, OffsetSpec spec)
      throws ExecutionException, InterruptedException {
    Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
    for (TopicPartitionInfo partition : described.partitions()) {
      asked.put(new TopicPartition(topic, partition.partition()), spec);
    }
    return admin.listOffsets(asked).all().get();
  }
}

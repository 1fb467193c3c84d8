package firth;

import java.util.Arrays;

/** A growing buffer of MessagePack, as far as Python must read it: arrays, integers, bytes and nil. */
final class MessagePack {
  private byte[] bytes;
  private int size;

  MessagePack(int capacity) {
    bytes = new byte[Math.max(capacity, 16)];
  }

  int size() {
    return size;
  }

  void clear() {
    size = 0;
  }

  /** What comes next are so many values that belong together. */
  MessagePack array(int length) {
    reserve(5);
    bytes[size++] = (byte) 0xdd;
    putInt(length);
    return this;
  }

  MessagePack integer(long value) {
    reserve(9);
    bytes[size++] = (byte) 0xd3;
    putInt((int) (value >>> 32));
    putInt((int) value);
    return this;
  }

  /** Bytes, or nil for null. */
  MessagePack binary(byte[] from) {
    reserve(5);
    if (from == null) {
      bytes[size++] = (byte) 0xc0;
      return this;
    }
    bytes[size++] = (byte) 0xc6;
    putInt(from.length);
    return raw(from, 0, from.length);
  }

  /** Values that are MessagePack already. */
  MessagePack raw(byte[] from, int start, int end) {
    reserve(end - start);
    System.arraycopy(from, start, bytes, size, end - start);
    size += end - start;
    return this;
  }

  MessagePack raw(MessagePack other) {
    return raw(other.bytes, 0, other.size);
  }

  byte[] toBytes() {
    return Arrays.copyOf(bytes, size);
  }

  private void putInt(int value) {
    bytes[size] = (byte) (value >>> 24);
    bytes[size + 1] = (byte) (value >>> 16);
    bytes[size + 2] = (byte) (value >>> 8);
    bytes[size + 3] = (byte) value;
    size += 4;
  }

  private void reserve(int more) {
    if (bytes.length - size < more) {
      bytes = Arrays.copyOf(bytes, Math.max(size + more, bytes.length * 2));
    }
  }
}

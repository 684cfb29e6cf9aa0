// Stand-in for the lint: streams, without what they do.
#pragma once
namespace hls {
template <class T, int DEPTH = 0>
struct stream {
  stream();
  explicit stream(const char* name);
  operator stream<T, 0>&();
  T read();
  void read(T& value);
  bool read_nb(T& value);
  void write(const T& value);
  bool empty() const;
  bool full() const;
};
}  // namespace hls

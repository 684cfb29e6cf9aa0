// Stand-in for the lint: memory ports with bursts by hand, without what they do.
#pragma once
#include <cstdint>
namespace hls {
template <class T>
struct burst_maxi {
  void read_request(uint64_t first, uint64_t count);
  T read();
  void write_request(uint64_t first, uint64_t count);
  void write(const T& value);
  void write(const T& value, int64_t bytes);
  void write_response();
};
}  // namespace hls

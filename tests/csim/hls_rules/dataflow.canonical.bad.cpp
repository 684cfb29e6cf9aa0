#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void produce(int n, hls::stream<int>& out) { out.write(n); }
void consume(hls::stream<int>& in) { in.read(); }

void region(int n, bool twice) {
#pragma HLS dataflow
  hls::stream<int, 2> data("data");
  const int m = n * 2;                          // refused
  if (twice) produce(n, data);                  // refused
  produce(n + 1, data);                         // refused
  produce(m, data);
  consume(data);
}

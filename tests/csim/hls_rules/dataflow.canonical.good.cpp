#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

template <class C>
void produce(int n, hls::stream<int>& out) {
  const int m = n * 2;
  out.write(m);
}
void consume(hls::stream<int>& in) { in.read(); }

template <class C>
void region(int n) {
#pragma HLS dataflow
  hls::stream<int, 2> data("data");
  hls::stream<int, 4> lanes[C::CPO / C::CPI];
  produce<C>(n, data);
  consume(data);
}

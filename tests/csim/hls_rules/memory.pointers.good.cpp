#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

struct Place {
  uint64_t position;
};

void f(const int* in, int* out, Place place) { out[0] = in[place.position]; }

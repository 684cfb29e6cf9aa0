#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

struct Ports {
  int* in;   // refused
  int& out;  // refused
};

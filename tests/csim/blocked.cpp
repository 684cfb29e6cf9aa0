// SPDX-License-Identifier: Apache-2.0
// Two regions that cannot end well: one starves, the other leaves a value behind; and one that ends.
#include <cstdio>

#include "hls_stream.h"
#include "region.h"

namespace {

void produce(int count, hls::stream<int>& out) {
  for (int n = 0; n < count; ++n) out.write(n);
}
void consume(int count, hls::stream<int>& in) {
  for (int n = 0; n < count; ++n) in.read();
}
void region(const char* name, int written, int read) {
  sliceflow_sim::clear_failure();
  {
    hls::stream<int, 2> values("values");
    SLICEFLOW_REGION_BEGIN(name);
    SLICEFLOW_PROCESS("source", produce, written, values);
    SLICEFLOW_PROCESS("sink", consume, read, values);
    SLICEFLOW_REGION_END;
  }
  std::printf("%s: %s;", name, sliceflow_sim::failure());
}

}  // namespace

int main() {
  region("starved", 10, 11);
  region("left over", 11, 10);
  region("whole", 10, 10);
}

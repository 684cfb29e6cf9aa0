// SPDX-License-Identifier: Apache-2.0
// Test bench: runs the top function on cases that Python wrote (sliceflow.devices.csim.cases) and compares memories.
//
// usage: testbench FOLDER      FOLDER/cases.txt names one subfolder per line, each with
//   case.txt      lines "first N", "count N"
//   program.bin weights.bin before.bin after.bin      the memories; activations before and after
//
// Ends with 0 if at least one case ran and all agree.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernel.h"

namespace {

typedef std::vector<unsigned char> Bytes;

struct Case {
  uint32_t first = 0;
  uint32_t count = 0;
  Bytes program, weights, before, after;
};

bool read_file(const std::string& path, Bytes& bytes) {
  std::ifstream file(path.c_str(), std::ios::binary);
  if (!file) return false;
  bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return true;
}

bool read_case(const std::string& folder, Case& test) {
  std::ifstream header((folder + "/case.txt").c_str());
  std::string key;
  uint32_t value;
  bool has_count = false;
  while (header >> key >> value) {
    if (key == "first") test.first = value;
    if (key == "count") test.count = value;
    has_count |= key == "count";
  }
  return has_count && read_file(folder + "/program.bin", test.program) &&
         read_file(folder + "/weights.bin", test.weights) && read_file(folder + "/before.bin", test.before) &&
         read_file(folder + "/after.bin", test.after) && test.before.size() == test.after.size();
}

// Index of the first byte (integers) or value (floats) that differs, or -1.
long first_difference(const Bytes& actual, const Bytes& expected) {
  if (!sliceflow::Config::IS_FLOAT) {
    for (size_t k = 0; k < actual.size(); ++k) {
      if (actual[k] != expected[k]) return static_cast<long>(k);
    }
    return -1;
  }
  const size_t count = actual.size() / sizeof(float);
  std::vector<float> a(count), e(count);
  if (count) {
    std::memcpy(a.data(), actual.data(), count * sizeof(float));
    std::memcpy(e.data(), expected.data(), count * sizeof(float));
  }
  float largest = 0;
  for (size_t k = 0; k < count; ++k) largest = std::fmax(largest, std::fabs(e[k]));
  for (size_t k = 0; k < count; ++k) {
    const bool near = std::fabs(a[k] - e[k]) <= 1e-5f * largest + 1e-6f;  // docs/numerics.md
    if (!near && std::memcmp(&a[k], &e[k], sizeof(float)) != 0) return static_cast<long>(k);
  }
  return -1;
}

// Why the simulation itself failed, "" if it did not.
const char* simulation_failure() {
#if defined(__SYNTHESIS__) || defined(SLICEFLOW_VENDOR)
  return "";
#else
  return sliceflow_sim::failure();
#endif
}

sliceflow::Beat* beats_of(Bytes& memory) { return reinterpret_cast<sliceflow::Beat*>(memory.data()); }

bool run_case(const std::string& name, const std::string& folder) {
  Case test;
  if (!read_case(folder, test)) {
    std::printf("FAIL %s: its files cannot be read\n", name.c_str());
    return false;
  }
  Bytes memory = test.before;
  const size_t size = memory.size();
  // Memories are whole beats, as a card's are; what a file leaves of the last one is zero.
  for (Bytes* bytes : {&test.program, &test.weights, &memory}) {
    bytes->resize((bytes->size() + sizeof(sliceflow::Beat) - 1) / sizeof(sliceflow::Beat) * sizeof(sliceflow::Beat));
  }
  sliceflow::Beat* activations = beats_of(memory);
  uint32_t status = 0;
  sliceflow_kernel(beats_of(test.program), beats_of(test.weights), activations, activations, activations, test.first,
                   test.count, &status);
  if (simulation_failure()[0]) {
    std::printf("FAIL %s: %s\n", name.c_str(), simulation_failure());
    return false;
  }
  if (status != 0) {
    std::printf("FAIL %s: descriptor %u stopped with code %u\n", name.c_str(), status >> 8, status & 0xff);
    return false;
  }
  memory.resize(size);
  const long difference = first_difference(memory, test.after);
  if (difference >= 0) {
    std::printf("FAIL %s: the activations differ, first at %ld\n", name.c_str(), difference);
    return false;
  }
  std::printf("pass %s\n", name.c_str());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string root = argv[1];
  std::ifstream list((root + "/cases.txt").c_str());
  std::string name;
  int passed = 0;
  int failed = 0;
  while (std::getline(list, name)) {
    if (name.empty()) continue;
    (run_case(name, root + "/" + name) ? passed : failed) += 1;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  if (passed + failed == 0) std::printf("no case ran: %s/cases.txt is missing or empty\n", root.c_str());
  return passed > 0 && failed == 0 ? 0 : 1;
}

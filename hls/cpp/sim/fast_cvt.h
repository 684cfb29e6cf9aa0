// SPDX-License-Identifier: Apache-2.0
// Simulation only: cvt strip by strip, with frames straight from the banks, without their ports and the rotation. Equal to plain_cvt,
// which a test checks.
#pragma once

#include <cstring>

namespace sliceflow {

template <class C>
struct FastBanks {
  Word<C> word[TAPS][C::BANK_WORDS];
  int offsets[3 * C::BANK_WORDS];  // from the first word of a row to that of each column
};

// What frames are made of.
template <class C>
struct FrameSource {
  const Word<C>* banks;
  const int* offsets;
  int width;  // columns that have an offset
  Word<C> padding;
  Word<C> zero;

  const Word<C>& outside(const FrameRow& row, int tap) const { return row.used >> tap & 1 ? padding : zero; }
};

// Words one behind the other, from beats.
template <class C>
class WordSource {
 public:
  explicit WordSource(hls::stream<Beat>& beats) : beats_(beats) {}

  void start(uint64_t position) {
    drop();
    next_ = static_cast<int>(position % BEAT_WORDS<C>());
  }
  void drop() {
    if (words_) beats_.pop(1);
    words_ = nullptr;
  }
  // Up to `most` words; says how many.
  const unsigned char* take(int most, int& count) {
    if (!words_) {
      beats_.await_data();
      words_ = reinterpret_cast<const unsigned char*>(&beats_.peek(0));
    }
    count = smaller(most, BEAT_WORDS<C>() - next_);
    const unsigned char* first = words_ + next_ * sizeof(Word<C>);
    next_ += count;
    return first;
  }
  void taken() {
    if (next_ == BEAT_WORDS<C>()) {
      drop();
      next_ = 0;
    }
  }

 private:
  hls::stream<Beat>& beats_;
  const unsigned char* words_ = nullptr;
  int next_ = 0;
};

template <class C>
void place_row_words(bool pointwise, int bank, int width, WordSource<C>& source, Word<C>* target) {
  const int last = pointwise ? bank : bank + 2;
  int at = bank;
  for (int left = width; left > 0;) {
    int count;
    const unsigned char* words = source.take(left, count);
    for (int k = 0; k < count; ++k) {
      std::memcpy(static_cast<void*>(target + at * C::BANK_WORDS), words + k * sizeof(Word<C>), sizeof(Word<C>));
      if (at == last) {
        at = bank;
        ++target;
      } else {
        ++at;
      }
    }
    source.taken();
    left -= count;
  }
}

template <class C>
void place_strip(const Layer& layer, const InputStrip& strip, WordSource<C>& source, FastBanks<C>& banks) {
  if (strip.rows == 0) return;
  const bool pointwise = layer.op == OP_POINTWISE;
  RunPlace place = first_run(strip);
  source.start(place.position);
  for (bool more = true; more;) {
    const int end = band_end(layer, strip, place);
    for (int row = place.band; row < end; ++row) {
      const int bank = pointwise ? place.nine : row % 3 * 3;
      const int word = pointwise ? place.slice / TAPS * strip.slice_words + row * layer.in_width
                                 : place.slice * strip.slice_words + row / 3 * bank_columns(layer);
      place_row_words<C>(pointwise, bank, layer.in_width, source, banks.word[0] + word);
    }
    more = next_run(layer, strip, place);
    if (more && !strip.is_one_run) source.start(place.position);
  }
  source.drop();
}

// A row of 3x3 windows.
template <class C>
void write_windows(const Layer& layer, const FrameRow& row, const FrameSource<C>& source, hls::stream<Frame<C>>& frames) {
  const Word<C>* rows[3];
  int columns[3];
  for (int k = 0; k < 3; ++k) {
    rows[k] = source.banks + row.bank[k] * 3 * C::BANK_WORDS + row.word[k];
    columns[k] = row.columns.tap[k].at;
  }
  const int* offsets = source.offsets;  // words of bytes may alias anything, so what the loop needs is local
  const unsigned width = static_cast<unsigned>(source.width);
  const int count = layer.conv_width;
  const int stride = layer.stride_x;
  for (int x = 0; x < count; ++x) {
    unsigned columns_inside = 0;
    int offset[3];
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
      const bool in = static_cast<unsigned>(columns[k]) < width;
      columns_inside |= static_cast<unsigned>(in) << k;
      offset[k] = in ? offsets[columns[k]] : 0;
      columns[k] += stride;
    }
    const unsigned inside = row.used & cross(row.inside, columns_inside);
    frames.await_room();
    Frame<C>& frame = frames.room(0);
    if (inside == ALL_TAPS) {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) frame.tap[tap] = rows[tap / 3][offset[tap % 3]];
    } else {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) {
        frame.tap[tap] = inside >> tap & 1 ? rows[tap / 3][offset[tap % 3]] : source.outside(row, tap);
      }
    }
    frames.push(1);
  }
}

// A row of single pixels, nine slices each.
template <class C>
void write_pixels(const Layer& layer, const FrameRow& row, const FrameSource<C>& source, hls::stream<Frame<C>>& frames) {
  const int count = layer.conv_width;
  const int stride = layer.stride_x;
  const unsigned width = layer.in_width;
  int column = row.columns.tap[0].at;
  for (int x = 0; x < count; ++x) {
    const bool in = (row.inside & 1) != 0 && static_cast<unsigned>(column) < width;
    const Word<C>* word = source.banks + row.word[0] + (in ? column : 0);
    frames.await_room();
    Frame<C>& frame = frames.room(0);
    if (in && row.used == ALL_TAPS) {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) frame.tap[tap] = word[tap * C::BANK_WORDS];
    } else {
      for (int tap = 0; tap < TAPS; ++tap) {
        frame.tap[tap] = in && row.used >> tap & 1 ? word[tap * C::BANK_WORDS] : source.outside(row, tap);
      }
    }
    frames.push(1);
    column += stride;
  }
}

template <class C>
void fast_cvt(const Layer& layer, hls::stream<InputStrip>& strips, hls::stream<Beat>& beats, hls::stream<FrameRow>& frame_rows,
              hls::stream<Frame<C>>& frames) {
  SLICEFLOW_MEMORY(FastBanks<C>, banks);
  accumulator_t<C> padding;
  from_bits(layer.pad_value, padding);
  FrameSource<C> source;
  source.banks = banks.word[0];
  source.offsets = banks.offsets;
  source.width = smaller(layer.in_width, 3 * C::BANK_WORDS);  // wider only if no row of the strip is inside
  source.padding = word_of_all<C>(padding);
  source.zero = word_of_all<C>(accumulator_t<C>(0));
  for (int column = 0; layer.op != OP_POINTWISE && column < source.width; ++column) {
    banks.offsets[column] = column % 3 * C::BANK_WORDS + column / 3;
  }
  WordSource<C> words(beats);
  for (uint32_t left = layer.strip_total; left > 0; --left) {
    place_strip<C>(layer, strips.read(), words, banks);
    for (bool more = true; more;) {
      const FrameRow row = frame_rows.read();
      more = !row.ends_strip;
      if (row.is_empty) continue;
      if (layer.op == OP_POINTWISE) {
        write_pixels<C>(layer, row, source, frames);
      } else {
        write_windows<C>(layer, row, source, frames);
      }
    }
  }
}

}  // namespace sliceflow

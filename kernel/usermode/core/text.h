// How a kernel reads numbers and commands that people write into its files.
//
// Two manners, both laxer or stricter than they look, both relied upon by scripts: Scanner does what a kernel's sscanf
// does with a command ("create4 69" is fine, "create 0x6 69" is not), ParseInteger what kstrto*() does with a value (a
// base prefix and one trailing newline are fine, a leading blank is not). Pure functions.
#ifndef GHOST_KERNEL_USERMODE_CORE_TEXT_H_
#define GHOST_KERNEL_USERMODE_CORE_TEXT_H_

#include <cstdint>
#include <string_view>

namespace ghost::usermode {

// Reads a command from the left. The first failure makes every later call fail.
//
//     uint64_t id; uint32_t abi;
//     if (Scanner scanner(text); scanner.Word("create").Unsigned(&id).Unsigned(&abi).ok()) …
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  // `word` must stand here, letter for letter, except that a blank in it stands for any number of blanks, none too.
  Scanner& Word(std::string_view word);
  // A decimal number after any blanks; a sign is only taken by Signed.
  Scanner& Unsigned(uint64_t* value);
  Scanner& Unsigned(uint32_t* value);
  Scanner& Signed(int32_t* value);

  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }

 private:
  void SkipBlanks();

  std::string_view rest_;
  bool ok_ = true;
};

// Values of files: optional sign, 0x / 0 prefix or decimal, one trailing newline, nothing else. 0, -EINVAL or -ERANGE.
int ParseInteger(std::string_view text, int64_t* value);
// The same without a minus sign.
int ParseUnsigned(std::string_view text, uint64_t* value);

// `text` up to its first newline.
std::string_view FirstLine(std::string_view text);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_TEXT_H_

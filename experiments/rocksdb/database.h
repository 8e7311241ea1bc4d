// Database: RocksDB with entries 0..n-1, to be read.
//
//     GHOST_ASSIGN_OR_RETURN(Database database, Database::Open("/tmp/db", {.entries = 1'000'000}));
//     std::string value;
//     database.Get(17, &value);               // "value of entry 0000000017"
//     database.Range(17, 100, &values);       // of 100 entries, one after another
//
// Opening fills a new or empty directory (about a second for a million entries), and finds what an earlier run has left
// there. Everything is in the block cache afterwards, so that no request waits for a disk. The database is read-only:
// RocksDB does nothing in the background. Any thread may read.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_DATABASE_H_
#define GHOST_EXPERIMENTS_ROCKSDB_DATABASE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rocksdb/db.h"

namespace ghost {

class Database {
 public:
  struct Options {
    uint32_t entries = 1'000'000;
    size_t cache_bytes = size_t{1} << 30;  // how much the block cache may hold; it takes what it needs
  };

  // In the directory `path`, which is made if only its last part is missing. Errors have hints: InvalidArgument (it
  // can't be made, or has something else in it), PermissionDenied, Internal (RocksDB's own).
  static absl::StatusOr<Database> Open(const std::string& path, const Options& options);

  uint32_t entries() const { return entries_; }
  // The value of an entry; false if there is none, or RocksDB could not read it.
  bool Get(uint32_t key, std::string* value) const;
  // The values of `count` entries from `first` on, one after another; false if they are not all there.
  bool Range(uint32_t first, int count, std::string* values) const;

  // What Get says of an entry.
  static std::string ValueOf(uint32_t key);

 private:
  Database(std::unique_ptr<rocksdb::DB> db, uint32_t entries) : db_(std::move(db)), entries_(entries) {}

  std::unique_ptr<rocksdb::DB> db_;
  uint32_t entries_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_DATABASE_H_

#include "experiments/rocksdb/database.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "rocksdb/cache.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/sst_file_writer.h"
#include "rocksdb/table.h"

namespace ghost {
namespace {

constexpr size_t kBlockBytes = 4096;

// Ten digits, so that RocksDB's order is that of the numbers.
std::string KeyText(uint32_t key) { return absl::StrFormat("%010d", key); }

absl::Status FromRocksdb(const rocksdb::Status& status, absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": ", status.ToString()));
}

rocksdb::Options RocksdbOptions(size_t cache_bytes) {
  rocksdb::BlockBasedTableOptions table;
  // Without locks: a worker that is preempted in the middle of a look-up keeps no other from its own.
  table.block_cache = rocksdb::HyperClockCacheOptions(cache_bytes, kBlockBytes).MakeSharedCache();
  table.block_size = kBlockBytes;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log_level = rocksdb::InfoLogLevel::ERROR_LEVEL;
  options.keep_log_file_num = 1;
  return options;
}

absl::Status PathError(int error, absl::string_view what, const std::string& path) {
  const absl::Status status = ErrnoStatus(error, absl::StrCat(what, " ", path));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return WithHint(WithExitCode(status, ExitCode::kPermission),
                    "give another --rocksdb_db_path, or none: then it is "
                    "a temporary directory");
  }
  return WithHint(WithExitCode(status, ExitCode::kUsage),
                  "--rocksdb_db_path is a directory to be made in one that exists; without it a temporary one is used");
}

// Makes the directory, or finds that it is one in which a database is or can be.
absl::Status PrepareDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0777) == 0) return absl::OkStatus();
  if (errno != EEXIST) return PathError(errno, "making", path);
  std::error_code error;
  const std::filesystem::directory_iterator files(path, error);
  if (error) return PathError(error.value(), "opening", path);
  if (access(path.c_str(), W_OK | X_OK) != 0) return PathError(errno, "writing to", path);
  if (std::filesystem::exists(path + "/CURRENT") || files == std::filesystem::end(files)) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat(path, " has files in it, but no database")),
                  "give --rocksdb_db_path a directory that is new, empty, or from an earlier run");
}

// One sorted file for all, which RocksDB takes over as it is: the fastest way there is.
absl::Status Fill(rocksdb::DB* db, const std::string& path, uint32_t entries) {
  const std::string file = path + "/entries.sst";
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), db->GetOptions());
  GHOST_RETURN_IF_ERROR(FromRocksdb(writer.Open(file), absl::StrCat("writing ", file)));
  for (uint32_t key = 0; key < entries; ++key) {
    GHOST_RETURN_IF_ERROR(
        FromRocksdb(writer.Put(KeyText(key), Database::ValueOf(key)), absl::StrCat("writing ", file)));
  }
  GHOST_RETURN_IF_ERROR(FromRocksdb(writer.Finish(), absl::StrCat("writing ", file)));
  rocksdb::IngestExternalFileOptions ingest;
  ingest.move_files = true;
  const absl::Status status =
      FromRocksdb(db->IngestExternalFile({file}, ingest), absl::StrCat("filling the database in ", path));
  unlink(file.c_str());
  return status;
}

bool IsEmpty(rocksdb::DB* db) {
  const std::unique_ptr<rocksdb::Iterator> entry(db->NewIterator(rocksdb::ReadOptions()));
  entry->SeekToFirst();
  return !entry->Valid() && entry->status().ok();
}

// Reads all entries once, which brings them into the cache; false unless they are just 0..entries-1.
bool ReadAll(rocksdb::DB* db, uint32_t entries) {
  const std::unique_ptr<rocksdb::Iterator> entry(db->NewIterator(rocksdb::ReadOptions()));
  uint32_t key = 0;
  for (entry->SeekToFirst(); entry->Valid(); entry->Next(), ++key) {
    if (key >= entries || entry->key() != KeyText(key)) return false;
  }
  return key == entries && entry->status().ok();
}

}  // namespace

std::string Database::ValueOf(uint32_t key) { return absl::StrCat("value of entry ", KeyText(key)); }

absl::StatusOr<Database> Database::Open(const std::string& path, const Options& options) {
  GHOST_RETURN_IF_ERROR(PrepareDirectory(path));
  rocksdb::Options rocksdb_options = RocksdbOptions(options.cache_bytes);
  const std::string opening = absl::StrCat("opening the database in ", path);
  rocksdb::DB* db = nullptr;
  {
    rocksdb_options.create_if_missing = true;
    GHOST_RETURN_IF_ERROR(FromRocksdb(rocksdb::DB::Open(rocksdb_options, path, &db), opening));
    const std::unique_ptr<rocksdb::DB> writable(db);
    if (IsEmpty(db)) GHOST_RETURN_IF_ERROR(Fill(db, path, options.entries));
  }
  GHOST_RETURN_IF_ERROR(FromRocksdb(rocksdb::DB::OpenForReadOnly(rocksdb_options, path, &db), opening));
  std::unique_ptr<rocksdb::DB> readable(db);
  if (!ReadAll(db, options.entries)) {
    return WithHint(absl::InvalidArgumentError(
                        absl::StrCat("the database in ", path, " has not the entries 0 to ", options.entries - 1)),
                    "give --rocksdb_db_path a directory that is new, empty, or from an earlier run");
  }
  return Database(std::move(readable), options.entries);
}

bool Database::Get(uint32_t key, std::string* value) const {
  return db_->Get(rocksdb::ReadOptions(), KeyText(key), value).ok();
}

bool Database::Range(uint32_t first, int count, std::string* values) const {
  values->clear();
  const std::unique_ptr<rocksdb::Iterator> entry(db_->NewIterator(rocksdb::ReadOptions()));
  entry->Seek(KeyText(first));
  if (!entry->Valid() || entry->key() != KeyText(first)) return false;
  for (; count > 0 && entry->Valid(); entry->Next(), --count) {
    values->append(entry->value().data(), entry->value().size());
  }
  return count == 0;
}

}  // namespace ghost

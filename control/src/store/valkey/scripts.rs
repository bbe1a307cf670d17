//! Each compare-and-set is one Lua script, since Valkey runs a script atomically. Each script touches one key, so it also
//! runs on a Cluster, and the server measures all lifetimes.
//!
//! A value is a string: its revision as 8 bytes in big-endian order, then the written bytes (a hash with two fields takes
//! more memory). A new revision is the server's time in microseconds, or the old revision plus one if that is larger: a key
//! that is deleted and written again therefore never repeats a revision, and the numbers stay below 2^53, where Lua's
//! doubles are exact.
//!
//! The scripts report a malformed record with the error code [`UNEXPECTED_CODE`].

use std::sync::LazyLock;

use redis::Script;

/// The error code for a record that this version would not have written.
pub(super) const UNEXPECTED_CODE: &str = "TOKENWARD";

/// `ARGV[1]` of [`WRITE`] and [`DELETE`] for [`Expected::Absent`](crate::store::Expected::Absent).
pub(super) const EXPECT_ABSENT: &str = "absent";
/// The same for [`Expected::Any`](crate::store::Expected::Any). Any other argument is the stored revision.
pub(super) const EXPECT_ANY: &str = "any";

/// Writes a value if the precondition holds.
///
/// `KEYS[1]` the value's key; `ARGV` precondition, value, lifetime in ms or `''` for no expiry.
/// Returns `{1, revision}`, or `{0, value}` with the current value (nil if there is none).
const WRITE_LUA: &str = r"
local revision = redis.call('GETRANGE', KEYS[1], 0, 7)
local there = #revision > 0 or redis.call('EXISTS', KEYS[1]) == 1
if there and (#revision < 8 or string.byte(revision) ~= 0) then
  return redis.error_reply('TOKENWARD the record is not a revision and a value')
end
if ARGV[1] == 'absent' then
  if there then return {0, redis.call('GET', KEYS[1])} end
elseif ARGV[1] ~= 'any' and ARGV[1] ~= revision then
  return {0, redis.call('GET', KEYS[1])}
end
local now = redis.call('TIME')
local following = tonumber(now[1]) * 1000000 + tonumber(now[2])
if there then following = math.max(following, struct.unpack('>I8', revision) + 1) end
following = struct.pack('>I8', following)
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], following .. ARGV[2])
else
  redis.call('SET', KEYS[1], following .. ARGV[2], 'PX', ARGV[3])
end
return {1, following}
";

/// Deletes a value if the precondition holds. A malformed value is deleted by `any` only, so that it can be removed.
///
/// `KEYS[1]` the value's key; `ARGV` precondition.
/// Returns `{1, deleted revision}` (0 if there was none), or a conflict as [`WRITE_LUA`] does.
const DELETE_LUA: &str = r"
local revision = ''
if ARGV[1] ~= 'any' or redis.call('TYPE', KEYS[1]).ok == 'string' then
  revision = redis.call('GETRANGE', KEYS[1], 0, 7)
end
if ARGV[1] == 'absent' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return {0, redis.call('GET', KEYS[1])} end
elseif ARGV[1] ~= 'any' and ARGV[1] ~= revision then
  return {0, redis.call('GET', KEYS[1])}
end
redis.call('DEL', KEYS[1])
if #revision < 8 or string.byte(revision) ~= 0 then revision = struct.pack('>I8', 0) end
return {1, revision}
";

/// Adds a member and extends the set's lifetime, never shortens it: the longest-lived member determines it.
///
/// `KEYS[1]` the set; `ARGV` member, lifetime in ms. A new set has no lifetime yet (`PTTL` -1) and gets one.
const ADD_MEMBER_LUA: &str = r"
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
";

/// Appends to a stream. The trimming is exact: it costs about as much as an approximate one, and a stream's size then does not
/// depend on the server's node settings.
///
/// `KEYS[1]` the stream; `ARGV` its most entries, lifetime in ms, then the values. An empty stream is removed.
const APPEND_LUA: &str = r"
for index = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[1], '*', 'v', ARGV[index])
end
if ARGV[1] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
";

/// Acquires a lease, or renews the caller's own.
///
/// `KEYS[1]` the lease; `ARGV` owner, lifetime in ms. Returns `{1, 0}`, or `{0, remaining ms}` if another owner holds it.
const ACQUIRE_LEASE_LUA: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, 0}
";

/// Releases a lease: compare-and-delete, so that an owner that lost it cannot release its successor's.
///
/// `KEYS[1]` the lease; `ARGV` owner. Returns 1 or 0.
const RELEASE_LEASE_LUA: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";

/// Returns the server's run id and the id of the replication history that it continues. A restart changes the run id; a
/// promotion, or loading another server's data, changes the history: each may have lost writes.
///
/// `KEYS[1]` only selects the node. Returns `run.history`, or `''` if the user may not run `INFO`.
const LINEAGE_LUA: &str = r"
local run = redis.pcall('INFO', 'server')
local history = redis.pcall('INFO', 'replication')
if type(run) ~= 'string' or type(history) ~= 'string' then return '' end
run, history = string.match(run, 'run_id:(%w+)'), string.match(history, 'master_replid:(%w+)')
if not run or not history then return '' end
return run .. '.' .. history
";

pub(super) static LINEAGE: LazyLock<Script> = LazyLock::new(|| Script::new(LINEAGE_LUA));
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(WRITE_LUA));
pub(super) static DELETE: LazyLock<Script> = LazyLock::new(|| Script::new(DELETE_LUA));
pub(super) static ADD_MEMBER: LazyLock<Script> = LazyLock::new(|| Script::new(ADD_MEMBER_LUA));
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(APPEND_LUA));
pub(super) static ACQUIRE_LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(ACQUIRE_LEASE_LUA));
pub(super) static RELEASE_LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(RELEASE_LEASE_LUA));

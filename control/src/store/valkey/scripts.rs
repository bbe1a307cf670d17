//! Every compare-and-set as one Lua script: a script is the only thing that Valkey runs without another client
//! in between. Each touches one key, so each runs on a Cluster too, and all lifetimes are counted by the server.
//!
//! A value is a string: its revision as 8 bytes, the most significant first, then the bytes that were written (a hash
//! with two fields takes more room). A new revision is the server's time in microseconds, or one more than the old
//! when that is larger: a key that is deleted and written again therefore never repeats a revision, and the numbers
//! stay below 2^53, where Lua's doubles are exact.
//!
//! What the scripts find misshapen they report with the error code [`UNEXPECTED_CODE`].

use std::sync::LazyLock;

use redis::Script;

/// The error code of a script that met a record which this version would not have written.
pub(super) const UNEXPECTED_CODE: &str = "TOKENWARD";

/// `ARGV[1]` of [`WRITE`] and [`DELETE`] for [`Expected::Absent`](crate::store::Expected::Absent).
pub(super) const EXPECT_ABSENT: &str = "absent";
/// The same for [`Expected::Any`](crate::store::Expected::Any). Anything else is the revision itself, as it is kept.
pub(super) const EXPECT_ANY: &str = "any";

/// Writes a value if the expectation holds.
///
/// `KEYS[1]` the value's key; `ARGV` expectation, value, lifetime in ms or `''` for ever.
/// Answers `{1, revision}`, or `{0, value}` with what is there instead (nil when nothing is).
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

/// Deletes a value if the expectation holds; a misshapen one only by `any`, so that it can be got rid of.
///
/// `KEYS[1]` the value's key; `ARGV` expectation.
/// Answers `{1, revision deleted}` (0 when there was nothing), or a conflict as [`WRITE_LUA`] does.
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

/// Adds a member and lengthens the set's life, never shortens it: the longest-lived member decides.
///
/// `KEYS[1]` the set; `ARGV` member, lifetime in ms. A new set has no lifetime yet (`PTTL` -1) and gets one.
const ADD_MEMBER_LUA: &str = r"
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
";

/// Takes a lease, or renews one's own.
///
/// `KEYS[1]` the lease; `ARGV` owner, lifetime in ms. Answers `{1, 0}`, or `{0, ms left}` when another holds it.
const ACQUIRE_LEASE_LUA: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, 0}
";

/// Gives a lease back: compare-and-delete, so that a holder who lost it cannot take away its successor's.
///
/// `KEYS[1]` the lease; `ARGV` owner. Answers 1 or 0.
const RELEASE_LEASE_LUA: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";

/// Names the server's run and the replication history that it continues. A restart changes the run; a promotion, and
/// a server that took another's data over, change the history: each may have lost writes.
///
/// `KEYS[1]` only leads to the node that holds it. Answers the name, `''` where the user may not use `INFO`.
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
pub(super) static ACQUIRE_LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(ACQUIRE_LEASE_LUA));
pub(super) static RELEASE_LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(RELEASE_LEASE_LUA));

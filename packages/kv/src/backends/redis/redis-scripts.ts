/**
 * What has to happen at one moment in Redis. The scripts only fetch and store: what is decided is
 * decided outside.
 *
 * ```
 * {name}:head     format, next, epoch
 * {name}:e:<key>  envelope and value
 * {name}:k        keys, in their order
 * {name}:c        keys, by the version they were created with
 * {name}:x        keys, by their expiry
 * ```
 */

/** Values up to this come whole with their facts, and are checked whole. */
const SMALL_BYTES = 4_096;
const HEAD_BYTES = 48;

/**
 * KEYS: head, created. ARGV: beginning of the names of entries, keys. Gives format, next, epoch, and
 * for each key nothing, or its bytes or the first of them, how many it has, and its place.
 */
export const LOAD: string = `
  local found = redis.call('HMGET', KEYS[1], 'format', 'next', 'epoch')
  for at = 2, #ARGV do
    local entry = ARGV[1] .. ARGV[at]
    local length = redis.call('STRLEN', entry)
    if length == 0 then
      found[#found + 1] = ''
    else
      local most = length <= ${SMALL_BYTES} and -1 or ${HEAD_BYTES - 1}
      found[#found + 1] = redis.call('GETRANGE', entry, 0, most)
      found[#found + 1] = tostring(length)
      found[#found + 1] = redis.call('ZSCORE', KEYS[2], ARGV[at]) or ''
    end
  end
  return found
`;

/**
 * KEYS: head, keys, created, due. ARGV: beginning of the names of entries, expected next and epoch,
 * new next and epoch, how many keys go, those, and of each put: key, seq, expiry or nothing, bytes.
 */
export const COMMIT: string = `
  local head = redis.call('HMGET', KEYS[1], 'next', 'epoch')
  if head[1] ~= ARGV[2] or head[2] ~= ARGV[3] then return 0 end
  redis.call('HSET', KEYS[1], 'next', ARGV[4], 'epoch', ARGV[5])
  local at = 7 + tonumber(ARGV[6])
  for gone = 7, at - 1 do
    local key = ARGV[gone]
    redis.call('DEL', ARGV[1] .. key)
    for order = 2, 4 do redis.call('ZREM', KEYS[order], key) end
  end
  while at < #ARGV do
    local key = ARGV[at]
    redis.call('SET', ARGV[1] .. key, ARGV[at + 3])
    redis.call('ZADD', KEYS[2], 0, key)
    redis.call('ZADD', KEYS[3], ARGV[at + 1], key)
    if ARGV[at + 2] == '' then redis.call('ZREM', KEYS[4], key)
    else redis.call('ZADD', KEYS[4], ARGV[at + 2], key) end
    at = at + 4
  end
  return 1
`;

"""What Redis runs, each in one go: nobody else's commands come between.

Of each channel there are two keys. A hash counts: its epoch, and the number of the newest message.
The epoch begins with the id of the data set, which Redis changes when it starts and when a replica
becomes the primary; what was counted under another one may have lost its end since, and does not go
on. A stream has what is kept, under the numbers of the messages. It may be gone before the hash is;
who asks sees that by the numbers.
"""

from fastws.rooms.brokers.history import CHUNK_SIZE, ID_WINDOW, REMEMBER
from fastws.rooms.brokers.numbering import VERSION

# How much of an epoch is the id of the data set.
DATASET_SIZE = 12

_VALUES = {
    b"DATASET": DATASET_SIZE,
    b"REMEMBER": REMEMBER,
    b"WINDOW": ID_WINDOW * 1000,
    b"CHUNK": CHUNK_SIZE,
    b"VERSION": VERSION.decode(),
}


def _script(text: bytes) -> bytes:
    for name, value in _VALUES.items():
        text = text.replace(b"$" + name, str(value).encode())
    return text


# KEYS: the channel of each message, which is also the key of its hash; then those of streams and of
# message ids. ARGV: an epoch for channels that have none, how many messages there are, their
# payloads. Then five for each message with a history or an id: which message; which of KEYS is its
# stream, and which its id, or 0; how many messages are kept, and for how many milliseconds.
# Answers to these with their position, and with a third word if the id was there before.
#
# To make the hash live longer with each message would double what goes to Redis' disk and replicas.
PUBLISH = _script(b"""
local fresh, count = ARGV[1], tonumber(ARGV[2])
local dataset, more, answers = string.sub(fresh, 1, $DATASET), {}, {}
for at = count + 3, #ARGV, 5 do
  more[tonumber(ARGV[at])] = at
end
for i = 1, count do
  local channel, payload, remember, at, log, id = KEYS[i], ARGV[i + 2], $REMEMBER, more[i], nil, nil
  if at then
    log, id = KEYS[tonumber(ARGV[at + 1])], KEYS[tonumber(ARGV[at + 2])]
    remember = math.max(remember, math.ceil(2 * ARGV[at + 4] / 1000))
  end
  local first = id and redis.call('GET', id)
  if first then
    answers[#answers + 1] = first .. ' again'
  else
    local number = redis.call('HINCRBY', channel, 'number', 1)
    local epoch = redis.call('HGET', channel, 'epoch')
    if not epoch or string.sub(epoch, 1, $DATASET) ~= dataset then
      epoch, number = fresh, 1
      redis.call('HSET', channel, 'epoch', epoch, 'number', number)
      if log then
        redis.call('DEL', log)
      end
    end
    if redis.call('TTL', channel) < remember / 2 then
      redis.call('EXPIRE', channel, remember)
    end
    local position = epoch .. ' ' .. number
    if log then
      redis.call('XADD', log, 'MAXLEN', ARGV[at + 3], number .. '-0', '', payload)
      redis.call('PEXPIRE', log, ARGV[at + 4])
    end
    if id then
      redis.call('SET', id, position, 'PX', $WINDOW)
    end
    if at then
      answers[#answers + 1] = position
    end
    redis.call('PUBLISH', channel, '$VERSION ' .. position .. ' ' .. payload)
  end
end
return answers
""")

# KEYS: the hash and the stream. ARGV: an epoch for a channel that has none, for how many
# milliseconds is kept, and after which number to begin, "" for nothing. Answers with the epoch, the
# newest number, and what is kept, about as much as goes at once.
RECALL = _script(b"""
local channel, log = KEYS[1], KEYS[2]
local fresh, after = ARGV[1], ARGV[3]
local remember = math.max($REMEMBER, math.ceil(2 * ARGV[2] / 1000))
local epoch, number = unpack(redis.call('HMGET', channel, 'epoch', 'number'))
if not epoch or string.sub(epoch, 1, $DATASET) ~= string.sub(fresh, 1, $DATASET) then
  epoch, number = fresh, '0'
  redis.call('HSET', channel, 'epoch', epoch, 'number', number)
  redis.call('DEL', log)
end
if redis.call('TTL', channel) < remember / 2 then
  redis.call('EXPIRE', channel, remember)
end
local kept, size, count, ended = {}, 0, 1, after == ''
while not ended and size < $CHUNK do
  local part = redis.call('XRANGE', log, '(' .. after, '+', 'COUNT', count)
  for _, entry in ipairs(part) do
    after = entry[1]
    kept[#kept + 1] = after
    kept[#kept + 1] = entry[2][2]
    size = size + #entry[2][2]
  end
  ended = #part < count
  count = math.min(2 * count, 64)
end
return {epoch, number, kept}
""")

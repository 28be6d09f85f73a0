local windows, now = KEYS[1], clock(ARGV[1])
local timeless = not now or ARGV[1] == '' and redis.call('HEXISTS', windows, '~end') == 1
if timeless then now = clock_of(windows) end

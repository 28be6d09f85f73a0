-- A fixed window as one whole number: its count, then 15 digits that say in ms when
-- it ends. Redis keeps a number in half the bytes of a text.
local function state_of(ends, count) return count .. string.format('%015.0f', ends) end
local function ends_of(state) return tonumber(state:sub(-15)) end
local function count_of(state) return tonumber(state:sub(1, -16)) end

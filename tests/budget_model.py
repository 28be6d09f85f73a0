"""The budget pacer in plain Python: what tests compare the scripts with.

State is a dict; a call works on a copy and keeps it where the script saves.
Leases that have ended are swept where the script sweeps.
"""

from adcache import to_micros
from adcache.budget_days import (
    bucket_size,
    day_allowance,
    day_budget,
    day_offsets,
    local_day,
    pacing_curve,
    refill,
)
from adcache.clock import to_epoch_ms


class BudgetModel:
    """One campaign, its account and its ledger."""

    def __init__(self, clock, lease_ms, horizon_ms):
        self.clock, self.lease_ms, self.horizon_ms = clock, lease_ms, horizon_ms
        self.campaign, self.account, self.ledger = None, None, {}

    def set_campaign(self, data):
        self.campaign = {
            "status": data.status,
            "flight": (to_epoch_ms(data.start_date), to_epoch_ms(data.end_date)),
            "bid": data.bid_price_micros,
            "budget": data.budget_micros,
            "daily": None
            if data.daily_budget is None
            else to_micros(data.daily_budget),
            "offsets": day_offsets(data),
            "curve": pacing_curve(data),
        }
        if self.account is None:
            self.account = {
                "spent": data.spent_micros,
                "open": {},
                "carry": 0,
                "day": 0,
                "today": 0,
                "tokens": None,
                "since": 0,
                "rest": 0,
            }

    @property
    def now(self):
        return self.clock.now_ms()

    def load(self):
        """A copy of the account as the script sees it: today, bucket filled."""
        account, campaign = dict(self.account), self.campaign
        account["open"] = dict(account["open"])
        today = local_day(campaign["offsets"], self.now)
        if today > account["day"]:
            account["day"], account["today"] = today, 0
        account["money"] = campaign["daily"]
        kind = campaign["curve"].split()[0]
        if campaign["daily"] is None and kind != "asap":
            left = campaign["budget"] - account["spent"] + account["today"]
            account["money"] = day_budget(
                left, campaign["offsets"], campaign["flight"], account["day"]
            )
        account["bucket"] = kind == "token_bucket"
        if account["bucket"]:
            self.fill(account)
        return account

    def fill(self, account):
        campaign = self.campaign
        size = bucket_size(campaign["curve"], account["money"], campaign["bid"])
        account["size"] = size
        if account["tokens"] is None:
            account["tokens"], account["since"] = size, self.now
        elapsed = self.now - account["since"]
        account["tokens"], account["rest"] = refill(
            account["tokens"], account["rest"], elapsed, account["money"], size
        )
        account["since"] = max(account["since"], self.now)

    def give_back(self, account, name):
        amount = account["open"].pop(name, (0, 0))[0]
        if account["bucket"]:
            account["tokens"] = min(account["size"], account["tokens"] + amount)

    def sweep(self, account):
        ended = [n for n, (_, lease) in account["open"].items() if lease <= self.now]
        for name in ended:
            self.give_back(account, name)
        return bool(ended)

    @staticmethod
    def reserved(account):
        return sum(amount for amount, _ in account["open"].values())

    def overrun(self, account):
        used = account["spent"] + self.reserved(account)
        return max(0, used - self.campaign["budget"])

    def state(self, name):
        """State of a reservation now; a lease that has ended is expired."""
        entry = self.ledger.get(name)
        if entry is None:
            return "unknown"
        waiting = entry["state"] in ("held", "kept")
        return "expired" if waiting and entry["lease"] <= self.now else entry["state"]

    def allowed(self, account):
        c = self.campaign
        return account["money"] is not None and day_allowance(
            c["curve"],
            account["money"],
            c["offsets"],
            c["flight"],
            account["day"],
            self.now,
        )

    def unfit(self, cpm):
        campaign = self.campaign
        if campaign is None:
            return "unknown"
        if campaign["status"] != "active":
            return "paused" if campaign["status"] == "paused" else "inactive"
        if self.now < campaign["flight"][0]:
            return "not started"
        if self.now > campaign["flight"][1]:
            return "ended"
        return "above bid" if cpm > campaign["bid"] else None

    def short(self, account, amount):
        campaign, allowed = self.campaign, self.allowed(account)
        used = self.reserved(account) + amount
        if account["spent"] + used > campaign["budget"]:
            return "budget"
        if (
            campaign["daily"] is not None
            and account["today"] + used > campaign["daily"]
        ):
            return "daily budget"
        dry = account["bucket"] and account["tokens"] < amount
        over = allowed is not False and account["today"] + used > allowed
        return "pacing" if dry or over else None

    def reserve(self, name, cpm, note):
        """The verdict and the amount held."""
        if name in self.ledger:
            state = self.state(name)
            held = state in ("held", "kept")
            return "held" if held else state, self.ledger[name]["amount"]
        if reason := self.unfit(cpm):
            return reason, 0
        account, amount = self.load(), -(-cpm // 1000)
        swept = self.sweep(account)
        reason = self.short(account, amount)
        if not reason:
            account["open"][name] = (amount, self.now + self.lease_ms)
            if account["bucket"]:
                account["tokens"] -= amount
            self.ledger[name] = {
                **{"state": "held", "amount": amount, "note": note},
                **{"lease": self.now + self.lease_ms, "cost": 0, "over": 0},
            }
        if swept or not reason:
            self.account = account
        return reason or "held", 0 if reason else amount

    def keep(self, name):
        state = self.state(name)
        if state == "held":
            entry, account = self.ledger[name], self.load()
            entry["state"] = state = "kept"
            entry["lease"] = max(entry["lease"], self.now + self.horizon_ms)
            self.sweep(account)
            account["open"][name] = (entry["amount"], entry["lease"])
            self.account = account
        return state

    def release(self, name):
        state = self.state(name)
        if state in ("held", "kept", "expired"):
            account = self.load()
            self.give_back(account, name)
            self.sweep(account)
            self.account = account
            self.ledger[name]["state"] = state = "released"
        return "unknown" if state == "charged" else state

    def settle(self, name, cpm):
        """The verdict, the cost, the part beyond the budget, and whether late."""
        state = self.state(name)
        if state in ("unknown", "charged"):
            return "unknown", 0, 0, False
        entry = self.ledger[name]
        if state == "settled":
            return "duplicate", entry["cost"], entry["over"], entry["late"]
        account = self.load()
        self.give_back(account, name)
        self.sweep(account)
        cost, account["carry"] = divmod(cpm + account["carry"], 1000)
        self.spend(account, cost)
        over = min(cost, self.overrun(account))
        late = state not in ("held", "kept")
        entry |= {"state": "settled", "cost": cost, "over": over, "late": late}
        self.account = account
        return "settled", cost, over, late

    def spend(self, account, cost):
        account["spent"] += cost
        account["today"] += cost
        if account["bucket"]:
            account["tokens"] -= cost

    def charge(self, amount, name):
        """The verdict and what is spent after it."""
        account = self.account and (self.load() if self.campaign else self.account)
        if name is not None and name in self.ledger:
            taken = self.ledger[name]["state"] != "charged"
            return "taken" if taken else "charged", account["spent"]
        if self.campaign is None:
            return "unknown", 0
        swept = self.sweep(account)
        fits = (
            account["spent"] + self.reserved(account) + amount
            <= self.campaign["budget"]
        )
        if fits:
            self.spend(account, amount)
            if name is not None:
                self.ledger[name] = {
                    **{"state": "charged", "amount": amount, "lease": self.now},
                    **{"note": "", "cost": amount, "over": 0},
                }
        if fits or swept:
            self.account = account
        return "charged" if fits else "budget", account["spent"]

    def status(self):
        """The figures of `BudgetStatus`, in its order; None when unknown."""
        if self.campaign is None:
            return None
        account = self.load()
        if self.sweep(account):
            self.account = account
        reserved, allowed = self.reserved(account), self.allowed(account)
        room = self.campaign["budget"] - account["spent"] - reserved
        if allowed is not False:
            room = min(room, allowed - account["today"] - reserved)
        if account["bucket"]:
            room = min(room, account["tokens"])
        return (
            *(account["spent"], reserved, self.overrun(account), account["today"]),
            *(None if allowed is False else allowed, max(0, room)),
        )

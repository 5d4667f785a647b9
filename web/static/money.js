// Money as the contract has it (google.type.Money): whole units and billionths of one, added without rounding.

const NANOS = 1_000_000_000n;

const toNanos = ({ units, nanos }) => BigInt(units) * NANOS + BigInt(nanos);
const fromNanos = (currency_code, total) => ({
  currency_code, units: Number(total / NANOS), nanos: Number(total % NANOS),
});

export const multiply = (money, times) => fromNanos(money.currency_code, toNanos(money) * BigInt(times));
export const add = (one, other) => fromNanos(one.currency_code, toNanos(one) + toNanos(other));

export function formatMoney(money) {
  const amount = Number(money.units) + money.nanos / 1e9;
  return new Intl.NumberFormat("en", { style: "currency", currency: money.currency_code }).format(amount);
}

//! The page on which a customer passes or fails the 3-D Secure challenge of the sandbox's bank.

use souk_mesh::money::{Currency, Money};

use crate::intent::{Intent, Status};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fff;--wash:#eef1f6;--line:#d8dee8;--go:#14774a;--no:#a3262a}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf3;--paper:#1b212b;--wash:#11151c;--line:#323b49;--go:#2ea66d;--no:#d9534f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--wash);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:min(26rem,calc(100vw - 2rem));background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:2rem;box-shadow:0 12px 40px #0002}
small{letter-spacing:.08em;text-transform:uppercase;opacity:.7}
h1{margin:.4rem 0 0;font-size:1.3rem}
.amount{font-size:2.2rem;font-weight:650;margin:1rem 0 .25rem;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1rem 0 1.5rem;font-size:.9rem}
dt{opacity:.7}dd{margin:0;text-align:right;overflow-wrap:anywhere}
form{display:flex;gap:.75rem}
button{flex:1;padding:.8rem;border:0;border-radius:9px;font:inherit;font-weight:600;color:#fff;cursor:pointer;background:var(--go)}
button.no{background:var(--no)}
button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}
";

/// The page of an intent: with buttons while its challenge is open, with the outcome after.
pub fn page(intent: &Intent) -> String {
    let amount = amount(intent.amount, &intent.currency);
    let order = escape(&intent.order_id);
    let rest = match intent.status {
        Status::RequiresAction => format!(
            "<form method=\"post\">
               <button name=\"decision\" formaction=\"/challenge/{id}?decision=approve\">Approve</button>
               <button class=\"no\" name=\"decision\" formaction=\"/challenge/{id}?decision=decline\">Decline</button>
             </form>",
            id = escape(&intent.id)
        ),
        Status::RequiresCapture | Status::Succeeded => {
            "<p role=\"status\"><b>Approved.</b> You can go back to the shop.</p>".to_owned()
        }
        Status::RequiresPaymentMethod => {
            "<p role=\"status\"><b>Declined.</b> Nothing was charged; you can go back to the shop.</p>"
                .to_owned()
        }
        Status::RequiresConfirmation | Status::Canceled => {
            "<p role=\"status\">There is nothing to approve here any more.</p>".to_owned()
        }
    };
    frame(&format!(
        "<p class=\"amount\">{amount}</p>
         <dl><dt>Order</dt><dd>{order}</dd><dt>Card</dt><dd>{card}</dd></dl>{rest}",
        card = intent.token
    ))
}

/// The page for an intent that does not exist.
pub fn missing() -> String {
    frame("<p role=\"status\">There is no such payment.</p>")
}

fn frame(content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">
<title>Approve your payment</title><style>{STYLE}</style></head>
<body><main><small>Sandbox Bank</small><h1>Is this payment yours?</h1>{content}</main></body></html>"
    )
}

/// An amount for people; one in a currency that ISO 4217 does not have is shown in minor units.
fn amount(minor: i64, currency: &str) -> String {
    let code = currency.to_ascii_uppercase();
    match Currency::from_code(&code) {
        Ok(currency) => Money::new(minor, currency).to_string(),
        Err(_) => format!("{minor} {}", escape(&code)),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shop_sent_cannot_become_markup() {
        assert_eq!(escape("<b a=\"1\">&'"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(amount(1_905, "eur"), "EUR 19.05");
        assert_eq!(amount(1_905, "<x>"), "1905 &lt;X&gt;");
    }
}

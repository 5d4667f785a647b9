//! What every picture shares: colours, gradients and classes, and the backdrop of each category.

use std::fmt::{self, Write};

/// What stands behind the things of a category.
pub(super) struct Backdrop {
    /// Hue of the background, in degrees.
    hue: u16,
    /// SVG elements, drawn in white and black of low opacity over the background's gradient.
    drawing: &'static str,
    /// Whether things stand on the ground at y = 640 and so throw a shadow there.
    standing: bool,
}

pub(super) const KITCHEN: Backdrop = Backdrop {
    hue: 30,
    standing: true,
    drawing: r##"<g stroke="#fff" stroke-width="3" opacity=".32"><path d="M0 100h800M0 220h800M0 340h800M0 460h800M100 0v100M300 0v100M500 0v100M700 0v100M0 100v120M200 100v120M400 100v120M600 100v120M100 220v120M300 220v120M500 220v120M700 220v120M200 340v120M400 340v120M600 340v120M100 460v120M300 460v120M500 460v120M700 460v120"/></g><circle cx="400" cy="390" r="280" fill="#fff" opacity=".4"/><path d="M0 580h800v220H0z" fill="url(#o)" opacity=".85"/><path d="M0 580h800v10H0z" fill="#fff" opacity=".4"/><path d="M0 648q200-10 400 0t400-4M0 716q240 10 480-4t320 8" stroke="#7f5430" stroke-width="3" fill="none" opacity=".25"/>"##,
};

pub(super) const HOME: Backdrop = Backdrop {
    hue: 14,
    standing: true,
    drawing: r##"<path d="M110 600V390a290 290 0 0 1 580 0v210z" fill="#fff" opacity=".5"/><path d="M150 600V390a250 250 0 0 1 500 0v210z" fill="#fff" opacity=".25"/><path d="M0 600h800v200H0z" fill="#5a3a28" opacity=".16"/><path d="M0 600h800v7H0z" fill="#fff" opacity=".5"/>"##,
};

pub(super) const ELECTRONICS: Backdrop = Backdrop {
    hue: 214,
    standing: true,
    drawing: r##"<circle cx="400" cy="390" r="370" fill="#fff" opacity=".22"/><circle cx="400" cy="390" r="290" fill="#fff" opacity=".26"/><circle cx="400" cy="390" r="210" fill="#fff" opacity=".3"/><path d="M60 640h680v160H60z" fill="#22344d" opacity=".13"/><ellipse cx="400" cy="640" rx="340" ry="52" fill="#fff" opacity=".75"/>"##,
};

pub(super) const OUTDOOR: Backdrop = Backdrop {
    hue: 196,
    standing: true,
    drawing: r##"<circle cx="610" cy="190" r="84" fill="#fff6d8" opacity=".95"/><path d="M0 470l140-150 90 80 150-190 170 210 80-70 170 160v290H0z" fill="#3e6d86" opacity=".35"/><path d="M380 210l-54 68 30 14 24-20 26 22 28-14z" fill="#fff" opacity=".75"/><path d="M0 540q120-80 260-30t280-20 260 30v280H0z" fill="#3f7a5c" opacity=".55"/><path d="M0 600q200-40 420-10t380-10v220H0z" fill="#57955a"/><path d="M0 640q260-30 800-6v166H0z" fill="#6aa864"/>"##,
};

pub(super) const STATIONERY: Backdrop = Backdrop {
    hue: 44,
    standing: false,
    drawing: r##"<path d="M-20 120L560-60 860 560 240 860z" fill="#fff" opacity=".45"/><g stroke="#fff" stroke-width="6" stroke-linecap="round" stroke-dasharray="0 40" opacity=".8"><path d="M20 40h780M20 80h780M20 120h780M20 160h780M20 200h780M20 240h780M20 280h780M20 320h780M20 360h780M20 400h780M20 440h780M20 480h780M20 520h780M20 560h780M20 600h780M20 640h780M20 680h780M20 720h780M20 760h780"/></g>"##,
};

pub(super) const CLOTHING: Backdrop = Backdrop {
    hue: 262,
    standing: false,
    drawing: r##"<circle cx="400" cy="410" r="330" fill="#fff" opacity=".5"/><path d="M0 620q200-80 400-20t400-40v240H0z" fill="#fff" opacity=".28"/><circle cx="690" cy="120" r="60" fill="#fff" opacity=".35"/><circle cx="96" cy="170" r="34" fill="#fff" opacity=".35"/>"##,
};

/// For categories that the shop has no backdrop for.
pub(super) const PLAIN: Backdrop = Backdrop {
    hue: 170,
    standing: true,
    drawing: r##"<circle cx="400" cy="390" r="300" fill="#fff" opacity=".45"/>"##,
};

/// A colour: hue in degrees, saturation and lightness in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tone(u16, u8, u8);

/// Colour words of product names, materials included.
const NAMED: &[(&str, Tone)] = &[
    ("amber", Tone(34, 88, 54)),
    ("ash", Tone(36, 34, 66)),
    ("black", Tone(220, 8, 22)),
    ("blue", Tone(222, 60, 42)),
    ("blue-black", Tone(222, 58, 30)),
    ("blush", Tone(12, 55, 76)),
    ("brass", Tone(43, 62, 50)),
    ("burgundy", Tone(345, 52, 33)),
    ("cedar", Tone(18, 48, 44)),
    ("charcoal", Tone(215, 8, 34)),
    ("chestnut", Tone(20, 48, 35)),
    ("cobalt", Tone(222, 66, 46)),
    ("cognac", Tone(24, 62, 42)),
    ("copper", Tone(20, 58, 54)),
    ("coral", Tone(8, 78, 64)),
    ("cream", Tone(44, 52, 88)),
    ("denim", Tone(214, 38, 50)),
    ("emerald", Tone(158, 62, 31)),
    ("forest", Tone(148, 34, 30)),
    ("graphite", Tone(215, 9, 40)),
    ("indigo", Tone(232, 40, 40)),
    ("ivory", Tone(42, 45, 87)),
    ("kraft", Tone(32, 42, 60)),
    ("midnight", Tone(228, 40, 28)),
    ("mint", Tone(160, 42, 70)),
    ("mustard", Tone(43, 78, 54)),
    ("navy", Tone(222, 48, 30)),
    ("oak", Tone(32, 45, 58)),
    ("ocean", Tone(200, 62, 42)),
    ("olive", Tone(75, 28, 38)),
    ("plum", Tone(312, 32, 36)),
    ("red", Tone(2, 68, 50)),
    ("rose", Tone(346, 48, 68)),
    ("rust", Tone(16, 65, 45)),
    ("sage", Tone(115, 18, 58)),
    ("sand", Tone(40, 38, 74)),
    ("silver", Tone(210, 10, 75)),
    ("slate", Tone(212, 16, 40)),
    ("steel", Tone(210, 8, 65)),
    ("sunset", Tone(16, 80, 58)),
    ("teal", Tone(180, 45, 36)),
    ("terracotta", Tone(16, 52, 55)),
    ("walnut", Tone(26, 38, 36)),
    ("white", Tone(40, 20, 93)),
    ("yellow", Tone(47, 92, 56)),
];

impl Tone {
    /// The colour that one of `words` names.
    pub(super) fn named(words: &[&str]) -> Option<Tone> {
        words
            .iter()
            .find_map(|word| NAMED.iter().find(|(name, _)| name == word))
            .map(|(_, tone)| *tone)
    }

    /// A pleasant colour drawn from `seed`.
    pub(super) fn of(seed: u128) -> Tone {
        let pick = |shift: u32, below: u128| (seed >> shift) % below;
        // Every remainder is below 360, so both conversions are exact.
        Tone(pick(0, 360) as u16, 30 + pick(16, 20) as u8, 40 + pick(32, 20) as u8)
    }

    fn lit(self, by: i16) -> Tone {
        Tone(self.0, self.1, (i16::from(self.2) + by).clamp(6, 97) as u8)
    }

    fn turned(self, by: u16) -> Tone {
        Tone((self.0 + by) % 360, self.1, self.2)
    }
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hsl({},{}%,{}%)", self.0, self.1, self.2)
    }
}

/// Opens the document: gradients, classes, backdrop and the shadow on the ground.
///
/// Fills: `m` and `v` the main colour with volume from the side and from above, `f` flat, `l` lighter,
/// `d` darker, `k` darkest, `r` accent; `w` paper, `g` steel, `h` dark steel, `n` and `N` near black,
/// `o` wood, `p` dark wood, `b` brass, `t` glass, `s` shine, `z` shade. Lines: `q` with `s` + a fill.
pub(super) fn open(out: &mut String, backdrop: &Backdrop, tone: Tone) {
    // Light things stand before a deeper background, so that they show.
    let ground = if tone.2 > 72 { Tone(backdrop.hue, 26, 73) } else { Tone(backdrop.hue, 44, 88) };
    let accent = Tone(tone.turned(165).0, 46, 52);
    out.push_str(r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 800" width="800" height="800"><defs>"##);
    let stops = [
        ("bg", 1, vec![(0, ground.lit(6)), (100, ground.lit(-9))]),
        ("m", 0, vec![(0, tone.lit(7)), (45, tone), (100, tone.lit(-13))]),
        ("v", 1, vec![(0, tone.lit(8)), (100, tone.lit(-11))]),
        ("w", 1, vec![(0, Tone(42, 70, 98)), (100, Tone(38, 28, 90))]),
        ("g", 0, vec![(0, Tone(210, 14, 92)), (45, Tone(210, 8, 76)), (100, Tone(212, 8, 55))]),
        ("n", 0, vec![(0, Tone(214, 9, 30)), (100, Tone(214, 12, 13))]),
        ("o", 0, vec![(0, Tone(32, 55, 66)), (100, Tone(29, 46, 50))]),
        ("b", 0, vec![(0, Tone(46, 75, 74)), (50, Tone(42, 58, 52)), (100, Tone(38, 62, 36))]),
    ];
    for (id, vertical, stops) in stops {
        let _ = write!(
            out,
            r#"<linearGradient id="{id}" x1="0" y1="0" x2="{}" y2="{vertical}">"#,
            1 - vertical
        );
        for (at, tone) in stops {
            let _ = write!(out, r#"<stop offset="{at}%" stop-color="{tone}"/>"#);
        }
        out.push_str("</linearGradient>");
    }
    out.push_str(r##"<radialGradient id="gs"><stop offset="0" stop-color="#1d1410" stop-opacity=".42"/><stop offset="1" stop-color="#1d1410" stop-opacity="0"/></radialGradient><filter id="sh" x="-10%" y="-10%" width="120%" height="125%"><feGaussianBlur in="SourceAlpha" stdDeviation="9" result="b"/><feOffset in="b" dy="9" result="o"/><feComponentTransfer in="o" result="s"><feFuncA type="linear" slope=".28"/></feComponentTransfer><feMerge><feMergeNode in="s"/><feMergeNode in="SourceGraphic"/></feMerge></filter></defs><style>"##);
    classes(out, tone, accent);
    out.push_str("</style>");
    let _ = write!(out, r#"<path d="M0 0h800v800H0z" fill="url(#bg)"/>{}"#, backdrop.drawing);
    if backdrop.standing {
        out.push_str(r#"<ellipse cx="400" cy="646" rx="270" ry="34" fill="url(#gs)"/>"#);
    }
}

fn classes(out: &mut String, tone: Tone, accent: Tone) {
    for id in ["m", "v", "w", "g", "n", "o", "b"] {
        let _ = write!(out, ".{id}{{fill:url(#{id})}}");
    }
    let (lighter, darker, darkest) = (tone.lit(9), tone.lit(-12), tone.lit(-24));
    let fills = [("f", tone), ("l", lighter), ("d", darker), ("k", darkest), ("r", accent)];
    for (class, tone) in fills {
        let _ = write!(out, ".{class}{{fill:{tone}}}.s{class}{{stroke:{tone}}}");
    }
    let _ = write!(out, ".sm{{stroke:{tone}}}");
    out.push_str(concat!(
        ".h{fill:#5d646c}.N{fill:#24272b}.p{fill:#7f5430}.t{fill:#e9f4f8;fill-opacity:.5}",
        ".s{fill:#fff;fill-opacity:.26}.z{fill:#000;fill-opacity:.13}",
        ".sw{stroke:#fdf9f0}.sg{stroke:#b7bec6}.sh{stroke:#5d646c}.sn{stroke:#2a2d31}",
        ".so{stroke:#c08d55}.sp{stroke:#7f5430}.sb{stroke:#c9a044}",
        ".ss{stroke:#fff;stroke-opacity:.3}.sz{stroke:#000;stroke-opacity:.13}",
        ".q{fill:none;stroke-linecap:round;stroke-linejoin:round}",
    ));
}

//! Things of the kitchen and the table. Standing things stand on y = 640.

use super::Motif;

pub(super) const MOTIFS: &[Motif] = &[
    Motif {
        words: &["mug", "cup"],
        drawing: r##"<path class="q sm" stroke-width="38" d="M535 410c95-10 120 130 0 150"/><path class="q sz" stroke-width="38" d="M535 410c95-10 120 130 0 150"/><path class="m" d="M262 340h282l-14 262q-4 38-46 38H322q-42 0-46-38z"/><path class="d" d="M266 420q135 40 274 0l-1 16q-140 40-272 0z" opacity=".45"/><ellipse class="l" cx="403" cy="340" rx="141" ry="34"/><ellipse class="k" cx="403" cy="343" rx="124" ry="25"/><ellipse cx="403" cy="349" rx="110" ry="18" fill="#4a2c1a"/><path class="s" d="M290 372q10 150 22 232h22q-18-110-20-226z"/><path class="q sw" stroke-width="9" opacity=".5" d="M360 300c-30-40 30-60 0-110M430 300c-30-40 30-60 0-110"/>"##,
    },
    Motif {
        words: &["moka"],
        drawing: r##"<path class="q sn" stroke-width="26" d="M508 300q100-4 92 150"/><path class="m" d="M300 640l28-168h144l28 168z"/><path class="d" d="M380 640l8-168h36l8 168z" opacity=".5"/><rect class="g" x="318" y="446" width="164" height="32" rx="8"/><path class="m" d="M330 446l-34-186h208l-34 186z"/><path class="l" d="M388 446l-12-186h40l-4 186z" opacity=".55"/><path class="m" d="M300 274l-62-26 40 84z"/><path class="d" d="M296 260l30-58h148l30 58z"/><path class="l" d="M326 202h148l6 12H320z"/><circle class="n" cx="400" cy="184" r="22"/><path class="s" d="M318 274h22l26 160h-18zM322 620l20-130h14l-12 130z"/>"##,
    },
    Motif {
        words: &["teapot"],
        drawing: r##"<path class="q sm" stroke-width="34" d="M548 400c150-40 130 180-6 160"/><path class="m" d="M270 500c-90-10-80-110-160-132l34-30c90 20 90 70 140 80z"/><ellipse class="m" cx="405" cy="500" rx="180" ry="140"/><ellipse class="z" cx="405" cy="632" rx="96" ry="10"/><path class="l" d="M310 388q95-64 190 0-95 26-190 0z"/><path class="q sd" stroke-width="6" d="M306 392q98 26 198 0"/><circle class="b" cx="405" cy="336" r="22"/><path class="s" d="M262 470c14-54 50-84 96-94-50 40-66 94-62 160-24-16-38-40-34-66z"/>"##,
    },
    Motif {
        words: &["knife"],
        drawing: r##"<g transform="rotate(-38 400 400)"><path class="g" d="M330 358h400c-50 78-160 104-400 96z"/><path class="q sh" stroke-width="3" opacity=".55" d="M340 430q60-22 120-2t120-8 90-24M340 412q70-24 130-4t120-10 100-26M340 394q70-20 130-2t130-8 104-16"/><path d="M330 446c240 8 350-18 400-88-60 52-190 74-400 72z" fill="#fff" opacity=".6"/><rect class="h" x="302" y="354" width="32" height="102" rx="6"/><path class="o" d="M306 362q-120-22-224 2-30 10-26 44t40 38q110-12 210 10z"/><circle class="b" cx="256" cy="404" r="11"/><circle class="b" cx="186" cy="402" r="11"/><circle class="b" cx="116" cy="402" r="11"/><path class="s" d="M300 372q-110-18-206 4-14 6-16 14 110-20 222 0z"/></g>"##,
    },
    Motif {
        words: &["board"],
        drawing: r##"<g transform="rotate(-14 400 420)"><rect class="p" x="170" y="264" width="470" height="340" rx="38"/><rect class="o" x="170" y="250" width="470" height="340" rx="38"/><g opacity=".32"><path class="p" d="M170 318h78v68h-78zM248 386h78v68h-78zM326 250h78v68h-78zM404 318h78v68h-78zM482 386h78v68h-78zM560 454h80v68h-80zM170 454h78v68h-78zM248 522h78v68h-78zM404 454h78v68h-78zM482 250h78v68h-78zM326 522h78v68h-78zM560 318h80v68h-80z"/></g><rect class="q sp" x="196" y="276" width="418" height="288" rx="24" stroke-width="9" opacity=".6"/><circle class="p" cx="582" cy="304" r="17"/></g><g transform="translate(300 400)"><path class="q" d="M40 60q20-90 90-120" stroke="#5c7d3b" stroke-width="7"/><path d="M60 10q-60-20-70-70 60 0 70 70zM92-28q-20-60 16-104 30 50-16 104zM100-20q60 10 96-28-56-36-96 28z" fill="#6f9a45"/></g>"##,
    },
    Motif {
        words: &["skillet", "pan"],
        drawing: r##"<path class="n" d="M520 470l180-110q34-14 46 10t-14 44L560 530z"/><circle cx="716" cy="386" r="11" class="h"/><ellipse class="n" cx="370" cy="520" rx="250" ry="116"/><ellipse cx="370" cy="490" rx="250" ry="112" fill="#3f4348"/><ellipse cx="370" cy="494" rx="222" ry="93" fill="#1b1d20"/><path d="M240 480c10-60 110-66 140-36 60-26 130 10 116 60s-90 50-130 36c-50 30-136 0-126-60z" fill="#fffaf0"/><circle cx="362" cy="486" r="40" fill="#f7b52c"/><ellipse cx="350" cy="474" rx="13" ry="9" fill="#fff" opacity=".6"/><path class="s" d="M136 470c30-60 130-96 240-92-110 12-190 50-220 106z"/>"##,
    },
    Motif {
        words: &["carafe", "coffee"],
        drawing: r##"<path class="t" d="M300 190h200l-62 190v50c80 30 120 90 120 150q0 60-60 60H302q-60 0-60-60c0-60 40-120 120-150v-50z"/><path d="M262 540h276q20 30 20 46 0 54-60 54H302q-60 0-60-54 0-16 20-46z" fill="#4b2a16"/><ellipse cx="400" cy="540" rx="139" ry="17" fill="#6e4326"/><path d="M322 210h156l-58 150h-40z" fill="#fdf8ee"/><path d="M340 250h120l-40 106h-40z" fill="#7a5236"/><path class="o" d="M352 360h96l6 34-6 36h-96l-6-36z"/><path class="q so" stroke-width="7" d="M352 395h96"/><circle class="p" cx="400" cy="395" r="12"/><path class="q sw" stroke-width="7" opacity=".85" d="M300 190h200M300 190l62 190M500 190l-62 190M362 430c-80 30-120 90-120 150q0 60 60 60h196q60 0 60-60c0-60-40-120-120-150"/><path class="s" d="M276 560c4-44 36-84 84-104-36 40-54 80-56 130z"/>"##,
    },
    Motif {
        words: &["mill", "grinder"],
        drawing: r##"<path class="m" d="M330 640q-14-70 10-130 20-50 6-96-12-42 8-84h92q20 42 8 84-14 46 6 96 24 60 10 130z"/><path class="m" d="M354 320q-24-60 14-104 32-26 64 0 38 44 14 104z"/><rect class="g" x="350" y="312" width="100" height="20" rx="8"/><circle class="g" cx="400" cy="190" r="20"/><path class="d" d="M330 600q70 18 140 0v12q-70 18-140 0z" opacity=".6"/><path class="s" d="M352 620q-10-60 12-112 18-46 8-92-8-40 4-70h14q-12 36-4 74 8 46-8 92-18 48-8 108z"/><g class="n"><circle cx="520" cy="630" r="9"/><circle cx="552" cy="636" r="7"/><circle cx="536" cy="612" r="6"/><circle cx="270" cy="634" r="8"/><circle cx="246" cy="628" r="6"/></g>"##,
    },
    Motif {
        words: &["bowl", "dish"],
        drawing: r##"<circle cx="318" cy="398" r="66" fill="#e2572f"/><circle cx="440" cy="372" r="72" fill="#f0a22e"/><circle cx="520" cy="420" r="56" fill="#8bab3f"/><circle cx="390" cy="420" r="52" fill="#f4c63d"/><path d="M440 304q4-34 34-44-2 36-34 44z" fill="#5d8a3a"/><circle cx="300" cy="376" r="16" fill="#fff" opacity=".35"/><circle cx="420" cy="340" r="18" fill="#fff" opacity=".35"/><path class="m" d="M170 424h460q-6 130-112 190l-12 26H294l-12-26Q176 554 170 424z"/><path class="l" d="M164 412h472q10 22-4 36H168q-14-14-4-36z"/><path class="q sw" stroke-width="5" opacity=".55" d="M192 490q208 36 416 0"/><path class="s" d="M206 460h36q10 90 70 148-84-44-106-148z"/>"##,
    },
    Motif {
        words: &["apron"],
        drawing: r##"<path class="q sd" stroke-width="16" d="M322 220q78-130 156 0M270 420q-90 20-130-30M530 420q90 20 130-30"/><path class="m" d="M310 216h180q6 120 66 176 14 120 6 278H238q-8-158 6-278 60-56 66-176z"/><path class="l" d="M310 216h180l2 30H308z"/><path class="d" d="M300 476h200v120q0 22-22 22H322q-22 0-22-22z" opacity=".75"/><path class="q sw" stroke-width="4" stroke-dasharray="10 8" opacity=".7" d="M308 486h184v106q0 18-18 18H326q-18 0-18-18zM400 486v124"/><path class="s" d="M318 260h24q-6 110-62 160l-8 240h-24q0-130 10-256 56-50 60-144z"/><path class="r" d="M520 440h46l6 120h-52z"/><path class="q sw" stroke-width="5" opacity=".7" d="M520 470h48M520 486h49"/>"##,
    },
    Motif {
        words: &["kettle"],
        drawing: r##"<path class="q sn" stroke-width="30" d="M520 320c130-10 110 190 10 210"/><path class="q sg" stroke-width="30" d="M268 560C180 560 240 380 150 372"/><path class="g" d="M296 330h208l48 260q4 50-46 50H294q-50 0-46-50z"/><path class="z" d="M470 330h34l48 260q4 50-46 50h-30q40-20 30-60z"/><path class="h" d="M296 330q104-60 208 0z"/><circle class="n" cx="400" cy="282" r="20"/><circle class="w" cx="400" cy="470" r="50"/><circle class="q sh" cx="400" cy="470" r="50" stroke-width="8"/><path class="q" stroke="#c8402f" stroke-width="7" d="M400 470l22-30"/><path class="q sh" stroke-width="4" d="M366 470h10M424 470h10M400 436v8"/><path class="s" d="M304 350h28l-30 270h-26q-20-8-12-44z"/>"##,
    },
];

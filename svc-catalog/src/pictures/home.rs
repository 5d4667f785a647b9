//! Things to live with. Standing things stand on y = 640.

use super::Motif;

pub(super) const MOTIFS: &[Motif] = &[
    Motif {
        words: &["lamp", "light"],
        drawing: r##"<path d="M250 400L110 660h580L550 400z" fill="#fff3c4" opacity=".45"/><rect class="b" x="389" y="380" width="22" height="246" rx="8"/><ellipse class="b" cx="400" cy="626" rx="106" ry="20"/><ellipse class="s" cx="376" cy="620" rx="60" ry="7"/><path class="m" d="M400 190c100 0 164 90 178 210H222c14-120 78-210 178-210z"/><ellipse cx="400" cy="400" rx="178" ry="28" fill="#fff6d8"/><ellipse cx="400" cy="402" rx="60" ry="12" fill="#fffdf3"/><rect class="b" x="386" y="168" width="28" height="30" rx="8"/><path class="s" d="M262 366c14-80 50-130 100-150-36 40-54 90-60 158z"/>"##,
    },
    Motif {
        words: &["vase"],
        drawing: r##"<g class="q" stroke="#6b7d4a" stroke-width="7"><path d="M396 330C390 240 350 190 300 140M402 330c4-90 20-140 50-200M408 330c20-60 60-90 110-110"/></g><g fill="#d9b36a"><ellipse cx="296" cy="134" rx="16" ry="34" transform="rotate(-40 296 134)"/><ellipse cx="330" cy="178" rx="12" ry="26" transform="rotate(-70 330 178)"/><ellipse cx="456" cy="120" rx="16" ry="36" transform="rotate(18 456 120)"/><ellipse cx="446" cy="180" rx="11" ry="25" transform="rotate(50 446 180)"/><ellipse cx="524" cy="216" rx="15" ry="32" transform="rotate(66 524 216)"/></g><path class="m" d="M360 310h80q10 0 8 12-14 60 40 100c90 66 70 170-6 218H318c-76-48-96-152-6-218 54-40 40-40 40-100-2-12-2-12 8-12z"/><ellipse class="k" cx="400" cy="314" rx="44" ry="10"/><path class="d" d="M268 512q132 36 264 0 2 18-2 36-130 34-260 0-4-18-2-36z" opacity=".35"/><path class="s" d="M300 470c10-26 32-42 52-62-14 70-30 120-6 220h-22c-46-40-56-100-24-158z"/>"##,
    },
    Motif {
        words: &["candle"],
        drawing: r##"<circle cx="400" cy="300" r="150" fill="#ffe9a8" opacity=".4"/><path d="M400 214q46 62 0 108-46-46 0-108z" fill="#ffb02e"/><path d="M400 258q22 36 0 60-22-24 0-60z" fill="#fff1bd"/><path class="q sn" stroke-width="7" d="M400 372v-52"/><path class="w" d="M284 380h232v220q0 26-26 26H310q-26 0-26-26z"/><ellipse cx="400" cy="382" rx="116" ry="22" fill="#fff7df"/><path class="t" d="M272 340h256v266q0 34-34 34H306q-34 0-34-34z"/><rect class="f" x="314" y="446" width="172" height="116" rx="8"/><rect class="q sw" x="326" y="458" width="148" height="92" rx="5" stroke-width="4" opacity=".8"/><path class="q sw" stroke-width="8" opacity=".9" d="M352 492h96M368 518h64"/><path class="s" d="M288 356h20v262q-20 0-20-22z"/><ellipse class="q sw" cx="400" cy="340" rx="128" ry="18" stroke-width="6" opacity=".8"/>"##,
    },
    Motif {
        words: &["blanket", "throw"],
        drawing: r##"<g class="q sd" stroke-width="7"><path d="M190 640v26M222 640v28M254 640v26M286 640v28M318 640v26M350 640v28M382 640v26M414 640v28M446 640v26M478 640v28M510 640v26M542 640v28M574 640v26M606 640v26"/></g><rect class="v" x="170" y="530" width="460" height="114" rx="40"/><rect class="m" x="170" y="426" width="460" height="122" rx="46"/><rect class="v" x="180" y="322" width="440" height="122" rx="46"/><g class="w" opacity=".75"><path d="M250 322h26v122h-26zM300 322h12v122h-12z"/><path d="M238 426h26v122h-26zM288 426h12v122h-12zM238 548h26v94h-26zM288 548h12v94h-12z"/></g><path class="z" d="M182 428q218 26 436 0 10 10 12 24-230 26-460 0 2-14 12-24zM172 536q228 26 456 0v16q-228 24-456 0z"/><path class="s" d="M220 332q180-14 370 2-200-2-384 22z"/>"##,
    },
    Motif {
        words: &["cushion", "pillow"],
        drawing: r##"<path class="m" d="M190 260q210 36 420 0 34 0 30 34-34 160 0 312 4 36-30 36-210-36-420 0-34 0-30-36 34-152 0-312-4-34 30-34z"/><path class="q sd" stroke-width="7" d="M190 260q210 36 420 0 34 0 30 34-34 160 0 312 4 36-30 36-210-36-420 0-34 0-30-36 34-152 0-312-4-34 30-34z"/><g class="q sd" stroke-width="5" opacity=".6"><path d="M400 450L214 290M400 450l186-160M400 450L214 614M400 450l186 164"/></g><circle class="d" cx="400" cy="450" r="19"/><circle class="s" cx="394" cy="444" r="8"/><path class="s" d="M206 290q90 20 190 18-90 26-130 120-30 70-40 140-20-150-20-278z"/>"##,
    },
    Motif {
        words: &["clock"],
        drawing: r##"<circle class="p" cx="400" cy="412" r="246"/><circle class="o" cx="400" cy="400" r="246"/><g class="q sp" stroke-width="3" opacity=".35"><path d="M176 300q230-50 448 0M160 360q240-60 480 0M155 420q250-70 490 0M164 480q240-66 474 0M190 540q210-56 420 0M244 596q160-40 312 0"/></g><circle class="w" cx="400" cy="400" r="192"/><g class="q sn" stroke-width="10"><path d="M400 228v30M400 542v30M228 400h30M542 400h30"/></g><g class="q sh" stroke-width="6"><path d="M486 251l-8 14M549 314l-14 8M549 486l-14-8M486 549l-8-14M314 549l8-14M251 486l14-8M251 314l14 8M314 251l8 14"/></g><path class="q sn" stroke-width="15" d="M400 400l-74-68"/><path class="q sn" stroke-width="10" d="M400 400l92-110"/><path class="q" stroke="#c8402f" stroke-width="5" d="M384 436l50 104"/><circle class="b" cx="400" cy="400" r="15"/><path class="s" d="M230 330c30-80 100-120 190-120-90 30-150 80-180 160z"/>"##,
    },
    Motif {
        words: &["planter", "plant", "pot"],
        drawing: r##"<g fill="#4e8a4f"><path d="M396 420C300 400 230 320 236 220c90 20 160 90 164 200z"/><path d="M404 420c-10-110 20-210 106-260 40 90-10 200-106 260z" fill="#3f7843"/><path d="M400 424c-60-80-80-180-30-280 70 80 80 180 30 280z" fill="#67a35f"/><path d="M410 424c40-70 110-110 200-100-30 80-110 120-200 100z" fill="#5b9656"/><path d="M392 424c-40-50-120-70-190-40 40 60 120 80 190 40z" fill="#6fae67"/></g><g class="q" stroke="#2f5f35" stroke-width="3" opacity=".5"><path d="M398 416C370 330 320 270 250 234M406 412c10-90 40-170 96-240M398 410c-20-90-30-170-26-254"/></g><path class="m" d="M262 420h276l-28 190q-4 22-30 22H320q-26 0-30-22z"/><path class="l" d="M248 400h304q14 22 0 52H248q-14-30 0-52z"/><path class="d" d="M230 622h340q-4 28-40 28H270q-36 0-40-28z"/><path class="s" d="M282 466h32l18 150h-20q-10 0-12-18z"/>"##,
    },
    Motif {
        words: &["mirror"],
        drawing: r##"<path class="q so" stroke-width="20" d="M284 250L400 130l116 120"/><circle class="b" cx="400" cy="128" r="18"/><circle class="b" cx="400" cy="430" r="224"/><circle cx="400" cy="430" r="202" fill="#cfdfe6"/><circle cx="400" cy="430" r="202" fill="#eaf3f6"/><path d="M270 584L564 306q38 56 38 124-4 170-160 198-100 8-172-44z" fill="#c9dbe3"/><path d="M224 520L494 252l40 26L248 564z" fill="#fff" opacity=".75"/><path d="M204 468L440 234l18 5L210 488z" fill="#fff" opacity=".6"/><circle class="q sp" cx="400" cy="430" r="203" stroke-width="4" opacity=".5"/>"##,
    },
    Motif {
        words: &["basket"],
        drawing: r##"<path class="q sp" stroke-width="22" d="M212 400c-60 10-60 110 10 110M588 400c60 10 60 110-10 110"/><path class="v" d="M236 330q30-70 120-60 60-50 130-4 80-10 82 64z"/><path class="o" d="M206 330h388q16 170-40 290-8 20-30 20H276q-22 0-30-20-56-120-40-290z"/><g class="q sp" stroke-width="9" opacity=".5" stroke-dasharray="34 18"><path d="M210 374h382M208 424h386" /><path d="M222 399h360M218 449h366M212 474h376M226 499h350M218 524h362M236 549h330M232 574h340M250 599h304M252 622h300"/></g><path d="M198 312h404q14 18 0 42H198q-14-24 0-42z" class="p"/><g class="q so" stroke-width="6"><path d="M210 350l22-36M246 350l22-36M282 350l22-36M318 350l22-36M354 350l22-36M390 350l22-36M426 350l22-36M462 350l22-36M498 350l22-36M534 350l22-36M570 350l22-36"/></g>"##,
    },
    Motif {
        words: &["armchair", "sofa", "chair"],
        drawing: r##"<g class="o"><path d="M226 570h26l-16 90h-20zM548 570h26l10 90h-20zM300 580h20l-6 66h-14zM480 580h20l0 66h-14z"/></g><path class="v" d="M232 220q168-46 336 0 34 8 32 44l-20 280H220l-20-280q-2-36 32-44z"/><path class="q sd" stroke-width="5" opacity=".6" d="M400 208v240"/><path class="s" d="M244 236q70-20 140-22v20q-70 4-126 22-14 70-6 150-20-90-8-170z"/><path class="l" d="M236 450h328q26 0 26 30v42H210v-42q0-30 26-30z"/><path class="m" d="M218 512h364v64q0 20-20 20H238q-20 0-20-20z"/><path class="m" d="M150 400q0-38 42-38t44 38v178q0 18-18 18h-50q-18 0-18-18zM564 400q0-38 44-38t42 38v178q0 18-18 18h-50q-18 0-18-18z"/><path class="s" d="M166 404q4-26 30-28-14 14-14 40v160h-10q-6 0-6-8zM580 404q4-26 30-28-14 14-14 40v160h-10q-6 0-6-8z"/>"##,
    },
    Motif {
        words: &["stool", "table", "desk"],
        drawing: r##"<g class="o"><path d="M300 270h34l-60 380h-26zM466 270h34l52 380h-26z"/></g><g class="p"><path d="M352 280h24l-10 336h-18zM424 280h24l4 336h-18z"/></g><path class="q sb" stroke-width="13" d="M266 530h268"/><path class="q sp" stroke-width="12" d="M290 416h220"/><path class="p" d="M226 240h348v26q0 26-40 32H266q-40-6-40-32z"/><ellipse class="o" cx="400" cy="238" rx="174" ry="42"/><g class="q sp" stroke-width="3" opacity=".4"><path d="M250 230q150-26 300 0M238 246q160-20 324 0M280 262q120-10 240 0"/></g><path class="s" d="M256 226q60-26 150-24-80 14-120 40z"/>"##,
    },
];

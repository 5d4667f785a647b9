//! `souk bench stock` on an embedded catalog: a short run prints its figures and accounts for every piece.

#[test]
fn a_hot_product_is_sold_to_the_last_piece_and_not_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_souk"))
        .args(["bench", "stock", "--seconds", "1", "--warm-up-seconds", "0"])
        .args(["--callers", "16", "--scarce", "40", "--data"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    let figures = ["reservations/s", "40 sold", "40 refused", "every piece is accounted for"];
    for figure in figures {
        assert!(said.contains(figure), "{figure} is missing in\n{said}");
    }
}

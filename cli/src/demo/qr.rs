//! A QR code in a terminal: two rows of modules in a line of half blocks, dark on light whatever
//! the colours of the terminal, with the quiet zone that cameras need.

use qrcode::{Color, EcLevel, QrCode};

use crate::terminal::Terminal;

/// Light modules around the code. Four by the standard; cameras are content with two.
const QUIET: usize = 2;

/// The lines of the picture; `None` when the text is too long for any code.
pub fn draw(text: &str, terminal: &Terminal) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = Picture { width: code.width(), dark: code.to_colors() };
    Some(match (terminal.has_unicode(), terminal.has_colour()) {
        // Black on white, by number: themes change what the names mean.
        (true, true) => {
            let paint = |line: String| format!("\u{1b}[38;5;16;48;5;231m{line}\u{1b}[0m");
            picture.halves(false).into_iter().map(paint).collect()
        }
        // Terminals are dark, so what is light has to be drawn.
        (true, false) => picture.halves(true),
        (false, _) => picture.letters(),
    })
}

struct Picture {
    width: usize,
    dark: Vec<Color>,
}

impl Picture {
    /// With the quiet zone.
    const fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |place: usize| place.checked_sub(QUIET).filter(|place| *place < self.width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.dark.get(y * self.width + x) == Some(&Color::Dark),
            _ => false,
        }
    }

    /// Two rows a line. `light` draws what is light and leaves the dark to the background.
    fn halves(&self, light: bool) -> Vec<String> {
        (0..self.side())
            .step_by(2)
            .map(|y| {
                let letter = |x| {
                    // Below the last row there is nothing to draw.
                    let lower = y + 1 < self.side() && self.is_dark(x, y + 1) != light;
                    match (self.is_dark(x, y) != light, lower) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    }
                };
                (0..self.side()).map(letter).collect()
            })
            .collect()
    }

    /// Two letters a module, for terminals without half blocks.
    fn letters(&self) -> Vec<String> {
        let letter = |dark| if dark { "  " } else { "##" };
        (0..self.side())
            .map(|y| (0..self.side()).map(|x| letter(self.is_dark(x, y))).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let code = QrCode::with_error_correction_level("portal://x", EcLevel::L).expect("short");
        Picture { width: code.width(), dark: code.to_colors() }
    }

    #[test]
    fn the_three_drawings_show_the_same_code() {
        let picture = picture();
        let side = picture.side();
        let (dark, light, letters) =
            (picture.halves(false), picture.halves(true), picture.letters());
        assert_eq!((dark.len(), letters.len()), (side.div_ceil(2), side));
        for y in 0..side {
            for x in 0..side {
                let expected = picture.is_dark(x, y);
                let half = |lines: &[String]| {
                    let letter = lines[y / 2].chars().nth(x).expect("as wide as high");
                    matches!((letter, y % 2), ('█', _) | ('▀', 0) | ('▄', 1))
                };
                assert_eq!(half(&dark), expected);
                assert_eq!(half(&light), !expected);
                assert_eq!(
                    letters[y].get(2 * x..2 * x + 2),
                    Some(if expected { "  " } else { "##" })
                );
            }
        }
    }

    #[test]
    fn the_code_stands_in_a_light_frame_with_its_corners() {
        let picture = picture();
        let side = picture.side();
        for place in 0..side {
            for edge in [0, 1, side - 2, side - 1] {
                assert!(!picture.is_dark(place, edge) && !picture.is_dark(edge, place));
            }
        }
        // The finder patterns begin with seven dark modules.
        for (x, y) in [(2, 2), (side - 9, 2), (2, side - 9)] {
            assert!((0..7).all(|step| picture.is_dark(x + step, y)));
        }
    }

    #[test]
    fn a_text_that_fits_no_code_is_left_out() {
        assert!(draw(&"x".repeat(5000), &Terminal::plain_for_tests()).is_none());
    }
}

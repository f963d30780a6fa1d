/// Reads a decimal number of a text: `[+-] digits [. digits] [e [+-] digits]`, with a digit before or behind the point.
///
/// Most are read here, several times as fast as by `strtof`, and to the same bits; the others are left to it.
struct DecimalNumber {
    private var isNegative = false
    /// Holds the first 19 digits that count, and how many there are.
    private var significand: UInt64 = 0
    private var digits = 0
    /// Holds the exponent of ten. The value is `significand` × 10 ^ `exponent` where there are at most 19 digits.
    private var exponent = 0

    /// Returns nil where `text` is no such number.
    init?(_ text: Span<UInt8>) {
        var position = 0
        self.isNegative = Self.sign(text, &position)
        var count = self.take(text, &position, isFraction: false)
        if position < text.count, text[position] == UInt8(ascii: ".") {
            position += 1
            count += self.take(text, &position, isFraction: true)
        }
        guard count > 0 else { return nil }
        if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            let isBelow = Self.sign(text, &position)
            guard let value = Self.power(text, &position) else { return nil }
            self.exponent += isBelow ? -value : value
        }
        guard position == text.count else { return nil }
    }

    /// Returns the number correctly rounded; nil where that takes more than this arithmetic.
    ///
    /// Powers of ten up to 10²² are exact in float64; the digits are off by half an ulp at most, and so is what comes out
    /// of the one product or quotient: it is within 2 ulps of the number. It rounds to the same float32 as the number
    /// unless the middle of two float32 lies in between, which it does not where that is more than 4 ulps away.
    var float: Float? {
        if self.significand == 0 { return self.isNegative ? -0.0 : 0 }
        guard self.digits <= 19, abs(self.exponent) < Self.powers.count else { return nil }
        let power = Self.powers[abs(self.exponent)]
        let whole = Double(self.significand)
        let value = self.exponent < 0 ? whole / power : whole * power
        // Numbers of float32 below that lie further apart than the float64's bits say.
        guard value >= 0x1p-126 else { return nil }
        // A float32 has 29 bits less; 1 and 28 zeros behind them is the middle.
        let behind = Int(value.bitPattern & 0x1fff_ffff)
        guard abs(behind - 0x1000_0000) > 4 else { return nil }
        return Float(self.isNegative ? -value : value)
    }

    /// All of these are exact in float64.
    private static let powers: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]

    /// Tells whether there is a minus; passes over a sign.
    private static func sign(_ text: Span<UInt8>, _ position: inout Int) -> Bool {
        guard position < text.count else { return false }
        let isMinus = text[position] == UInt8(ascii: "-")
        if isMinus || text[position] == UInt8(ascii: "+") { position += 1 }
        return isMinus
    }

    /// Takes digits; returns how many.
    private mutating func take(_ text: Span<UInt8>, _ position: inout Int, isFraction: Bool) -> Int {
        let begin = position
        while position < text.count {
            let digit = text[position] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            position += 1
            if digit > 0 || self.digits > 0 { self.digits += 1 }
            if self.digits <= 19 { self.significand = self.significand * 10 + UInt64(digit) }
        }
        if isFraction { self.exponent -= position - begin }
        return position - begin
    }

    /// Returns the digits behind the e; a million stands for all that is more. Returns nil where there are none.
    private static func power(_ text: Span<UInt8>, _ position: inout Int) -> Int? {
        let begin = position
        var value = 0
        while position < text.count {
            let digit = text[position] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            value = min(value * 10 + Int(digit), 1_000_000)
            position += 1
        }
        return position > begin ? value : nil
    }
}

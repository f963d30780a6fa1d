/// Numbers in the one spelling that everybody reads alike.
///
/// YAML 1.1 takes `010` for eight, `0x10` for sixteen, `1:30` for ninety and `1_000` for a thousand; others take some of these for
/// something else, or for text. None of them is a number here, nor is one with a `+`.
package enum PlainNumber {
    /// Digits without a leading zero, with or without a `-`.
    package static func whole<Number: FixedWidthInteger>(_ text: some StringProtocol) -> Number? {
        guard let number = Number(text), "\(number)" == text else { return nil }
        return number
    }

    /// A finite number: digits without a leading zero, a fraction, a power of ten as in `1e-3`.
    package static func decimal(_ text: some StringProtocol) -> Double? {
        let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        let beginsWithZero = digits.first == UInt8(ascii: "0")
        let second = digits.dropFirst().first.map { (0x30...0x39).contains($0) } ?? false
        guard text.utf8.first != UInt8(ascii: "+"), !(beginsWithZero && second),
            text.utf8.allSatisfy({ "0123456789.eE+-".utf8.contains($0) }), let number = Double(text), number.isFinite
        else { return nil }
        return number
    }

    /// Ends the advice where a text was no such number.
    package static let advice = "in plain digits, as 90"
}

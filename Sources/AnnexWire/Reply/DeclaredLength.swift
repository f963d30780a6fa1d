/// Reads the length in a header, digit by digit: `-1`, or up to 10 digits without a leading zero.
struct DeclaredLength {
    private var sum = 0
    private var digits = 0
    private var isNegative = false

    /// Returns false where `byte` cannot stand here.
    mutating func take(_ byte: UInt8) -> Bool {
        if byte == UInt8(ascii: "-"), self.digits == 0, !self.isNegative {
            self.isNegative = true
            return true
        }
        guard (0x30...0x39).contains(byte), self.digits < 10, self.digits == 0 || self.sum > 0 else { return false }
        self.sum = self.sum * 10 + Int(byte - 0x30)
        self.digits += 1
        return true
    }

    /// It is nil where there was no digit, or a negative number other than -1.
    var value: Int? {
        guard self.digits > 0 else { return nil }
        guard self.isNegative else { return self.sum }
        return self.sum == 1 ? -1 : nil
    }
}

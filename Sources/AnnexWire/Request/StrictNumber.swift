/// Reads numbers out of bytes from outside: they have digits only, nothing traps, and no locale counts.
package enum StrictNumber {
    /// Reads an optional `-`, then digits without a leading zero. Returns nil on overflow or anything else.
    package static func integer(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var position = 0
        let negative = bytes.first == UInt8(ascii: "-")
        if negative { position = 1 }
        let digits = bytes.count - position
        guard digits >= 1, digits <= 19 else { return nil }
        if bytes[position] == UInt8(ascii: "0") { return digits == 1 && !negative ? 0 : nil }
        var value = 0
        while position < bytes.count {
            let digit = Int(bytes[position]) - 0x30
            guard (0...9).contains(digit) else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowToo) =
                negative ? scaled.subtractingReportingOverflow(digit) : scaled.addingReportingOverflow(digit)
            guard !overflow, !overflowToo else { return nil }
            value = sum
            position += 1
        }
        return value
    }

    package static func float(_ bytes: UnsafeRawBufferPointer) -> Float? {
        guard Self.looksDecimal(bytes), let value = Float(Substring(decoding: bytes, as: UTF8.self)), value.isFinite
        else { return nil }
        return value
    }

    package static func double(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard Self.looksDecimal(bytes), let value = Double(Substring(decoding: bytes, as: UTF8.self)), value.isFinite
        else { return nil }
        return value
    }

    /// Rules out a leading `+`, `nan`, `inf`, hexadecimal and blanks before the standard library's parser sees them.
    private static func looksDecimal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard !bytes.isEmpty, bytes.count <= 64, bytes[0] != UInt8(ascii: "+") else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "e"),
                UInt8(ascii: "E"):
                true
            default: false
            }
        }
    }
}

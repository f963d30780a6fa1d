/// Holds the id of an item or user: 1 to 255 bytes of valid UTF-8, compared and hashed as bytes.
///
/// It is no `String`, because Swift takes the two Unicode spellings of "é" for one and the world's data does not.
package struct Identifier: Hashable, Comparable, Sendable, CustomStringConvertible {
    package static let maximumLength = 255

    package let bytes: [UInt8]

    /// Returns nil where `bytes` is empty, longer than 255 bytes or not valid UTF-8.
    package init?(_ bytes: [UInt8]) {
        guard Self.isValid(bytes) else { return nil }
        self.bytes = bytes
    }

    package init?(_ string: String) { self.init(Array(string.utf8)) }

    package static func isValid(_ bytes: some Collection<UInt8>) -> Bool {
        guard !bytes.isEmpty, bytes.count <= Self.maximumLength else { return false }
        return String(validating: bytes, as: UTF8.self) != nil
    }

    package static func < (a: Identifier, b: Identifier) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// Returns the id as text; bytes that are no printable character are escaped.
    package var description: String { Printable.escape(self.bytes) }
}

/// The name of an index or a version: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, so that it is safe as a file name.
package struct EntryName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: String

    package init?(_ value: String) {
        guard Self.isValid(value.utf8) else { return nil }
        self.value = value
    }

    package static func isValid(_ bytes: some Collection<UInt8>) -> Bool {
        guard let first = bytes.first, bytes.count <= 64, Self.isAlphanumeric(first) else { return false }
        return bytes.allSatisfy {
            Self.isAlphanumeric($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }

    package static func < (a: EntryName, b: EntryName) -> Bool { a.value < b.value }
    package var description: String { self.value }
}

import AnnexCore

/// A command name of at most 16 bytes, in lower case, as two words: equal and hashed without a string.
struct PackedName: Equatable {
    private(set) var low: UInt64 = 0
    private(set) var high: UInt64 = 0
    /// "a" and "a\0" must differ.
    private(set) var length: UInt8 = 0

    init?(_ bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty, bytes.count <= 16 else { return nil }
        var position = 0
        for byte in bytes {
            let lower = UInt64(byte.lowercasedASCII)
            if position < 8 { self.low |= lower << (position * 8) } else { self.high |= lower << ((position - 8) * 8) }
            position += 1
        }
        self.length = UInt8(position)
    }

    init?(_ name: String) { self.init(name.utf8) }
}

/// Finds the position of each name, by open addressing: names are few and known when the program starts, so one multiplication
/// replaces the keyed hash of a dictionary, which exists to withstand chosen keys. A lookup ends at an empty place, of
/// which there are at least as many as names.
struct NamePositions: Sendable {
    private struct Place: Sendable {
        var name: PackedName
        var position: Int
    }

    private var places: [Place?]

    /// - Parameter names: unlike each other; those above 16 bytes cannot be found.
    init(_ names: [String]) {
        var size = 16
        while size < names.count * 4 { size *= 2 }
        self.places = [Place?](repeating: nil, count: size)
        for (position, name) in names.enumerated() {
            guard let packed = PackedName(name) else { continue }
            var place = self.home(packed)
            while self.places[place] != nil { place = (place + 1) & (size - 1) }
            self.places[place] = Place(name: packed, position: position)
        }
    }

    private func home(_ name: PackedName) -> Int {
        let mixed = (name.low ^ (name.high &* 0x9e37_79b9_7f4a_7c15)) &* 0xd6e8_feb8_6659_fd93
        return Int(truncatingIfNeeded: mixed >> 32) & (self.places.count - 1)
    }

    subscript(_ name: PackedName) -> Int? {
        var place = self.home(name)
        while let found = self.places[place] {
            if found.name == name { return found.position }
            place = (place + 1) & (self.places.count - 1)
        }
        return nil
    }
}

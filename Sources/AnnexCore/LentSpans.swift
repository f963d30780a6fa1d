/// Reads ids and texts as bytes that somebody lends: a client's buffer, a page of the store, an array.
extension Span<UInt8> {
    /// Tells whether these are the bytes of an array. O(bytes).
    package func elementsEqual(_ bytes: [UInt8]) -> Bool {
        guard self.count == bytes.count else { return false }
        return unsafe self.withUnsafeBufferPointer { unsafe $0.elementsEqual(bytes) }
    }

    /// Computes the FNV-1a hash. O(bytes).
    package var fnv1a: UInt64 {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for index in self.indices { hash = (hash ^ UInt64(self[index])) &* 1_099_511_628_211 }
        return hash
    }
}

extension [UInt8] {
    /// Copies lent bytes. O(bytes).
    package init(copying bytes: Span<UInt8>) {
        self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

extension [Float] {
    /// Copies lent numbers. O(count).
    package init(copying values: Span<Float>) {
        self = unsafe values.withUnsafeBufferPointer { unsafe Array($0) }
    }

    /// Takes over as many numbers as there are, in place: nothing is allocated. O(count).
    package mutating func overwrite(with values: Span<Float>) {
        precondition(values.count == self.count, "unchecked count")
        unsafe self.withUnsafeMutableBufferPointer { target in
            unsafe values.withUnsafeBufferPointer { source in _ = unsafe target.update(fromContentsOf: source) }
        }
    }
}

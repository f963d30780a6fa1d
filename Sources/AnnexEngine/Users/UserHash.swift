import AnnexCore
import AnnexStore
import Crypto

/// What stands for the id of a forgotten user, so that the id itself is gone.
package enum UserHash {
    /// The first 16 bytes of the SHA-256 of the id.
    package static func of(_ id: some Sequence<UInt8>) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: Array(id))
        return Array(hash.finalize().prefix(16))
    }
}

extension StateView {
    /// Whether a user was forgotten. O(1) where nobody was.
    func hasForgotten(_ id: UnsafeRawBufferPointer) throws(AnnexError) -> Bool {
        guard try self.hasForgotten else { return false }
        return try UserHash.of(id).lend { hash throws(AnnexError) in try self.forgottenAt(hash: hash) != nil }
    }
}

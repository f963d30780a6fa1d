/// Counts the bytes that one connection holds of the server's memory.
struct HeldBytes {
    /// Counts what was received, and is not a whole command yet.
    private(set) var input = 0
    /// Replies that the socket did not take yet.
    private(set) var output = 0
    /// Counts requests that are being answered, from parsing until the reply is gone.
    private(set) var requests = 0
    /// Replies that wait for those before them.
    private(set) var replies = 0

    var total: Int { self.input + self.output + self.requests + self.replies }

    /// Each of these functions returns by how many bytes the total grew.
    mutating func setInput(_ bytes: Int) -> Int {
        defer { self.input = bytes }
        return bytes - self.input
    }

    mutating func setOutput(_ bytes: Int) -> Int {
        defer { self.output = bytes }
        return bytes - self.output
    }

    mutating func setPending(requests: Int, replies: Int) -> Int {
        defer { (self.requests, self.replies) = (requests, replies) }
        return requests + replies - self.requests - self.replies
    }
}

/// What the log answered, where it makes no sense.
package struct RedisFailure: Error, CustomStringConvertible {
    let text: String
    package var description: String { self.text }
}
